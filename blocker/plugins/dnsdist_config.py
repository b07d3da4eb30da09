"""dnsdist's part of its configuration, in Lua, made for a site.

Pure: site values to text. It stays as it is while orders come and go, for all that changes is in the store
(see dnsdist). Only the site's regions, TTLs and the place of its state are written into it. The rules stand
before everything that dnsdist does by itself, its packet cache included.

One text is right for 1.7 and all later versions: what dnsdist can do is found out when it loads. From 1.9 on
it says EDE and puts the SOA into AUTHORITY by itself; for 1.7 both are written into the octets of its
answer. 1.8 can't do either: its answers come without EDE.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.site import Enforcement, Network

MOST_REGIONS = 100
"""dnsdist opens at most 128 databases of one file."""

_MAPPED = IPv6Network("::ffff:0:0/96")

_HEAD = """\
-- The policy of blocker in dnsdist: made by `blocker dnsdist-config`, to be made again when regions, answers
-- or state of site.yaml change. Orders need no change here: they are in the store below.
"""

_RULES = """\

do
  local store = {store}
  local ttl, most = {ttl}, {max_ttl} -- seconds: of blocked answers; at most of passing ones

  -- Which class is the name of: its own, else that of the longest suffix? What servers say of themselves
  -- (CHAOS) is about no name of an order.
  local class, answer = "blocker-class", "blocker-answer"
  addAction(
    NotRule(QClassRule(DNSClass.CHAOS)),
    KeyValueStoreLookupAction(newLMDBKVStore(store, "own"), KeyValueLookupKeyQName(true), class)
  )
  addAction(
    TagRule(class, ""),
    KeyValueStoreLookupAction(newLMDBKVStore(store, "names"), KeyValueLookupKeySuffix(1, true), class)
  )

  -- What is the answer to the class, in the client's region? The longest prefix decides: those of other
  -- regions are written as exceptions.
  local function region(name, prefixes)
    local clients = newNMG()
    for _, prefix in ipairs(prefixes) do
      clients:addMask(prefix)
    end
    addAction(
      AndRule({{TagRule(class), NotRule(TagRule(class, "")), NetmaskGroupRule(clients)}}),
      KeyValueStoreLookupAction(newLMDBKVStore(store, "active-" .. name), KeyValueLookupKeyTag(class), answer)
    )
  end
{regions}

  -- "x. 1767225600 - TEXT": form, whether DS and DNSKEY pass (*), until, addresses, text. There are few, and
  -- each is taken apart once. What LuaJIT can't compile would be most of the time that an answer takes: it
  -- can call C with a pointer, but not with what dnsdist hands over for one.
  local read = [[
    local pass, spoofed, ttl = %d, %d, %d
    local ffi = require("ffi")
    local C = ffi.C
    ffi.cdef("long time(long *)")
    local get, set = C.dnsdist_ffi_dnsquestion_get_tag, C.dnsdist_ffi_dnsquestion_set_tag
    local can_explain, explain = pcall(function() return C.dnsdist_ffi_dnsquestion_set_extended_dns_error end)

    local function addresses_of(octets, text)
      local found = {{}}
      for hex in text:gmatch("%%x+") do
        if #hex == 2 * octets then
          found[#found + 1] = hex:gsub("%%x%%x", function(octet) return string.char(tonumber(octet, 16)) end)
        end
      end
      local values = ffi.new("dnsdist_ffi_raw_value_t[?]", math.max(1, #found))
      for at, address in ipairs(found) do
        values[at - 1].value, values[at - 1].size = address, octets
      end
      return {{count = #found, values = values, held = found}}
    end

    local known, count = {{}}, 0
    local function parsed(said)
      local form, mark, till, addresses, text = said:match("^(%%l)(.) (%%d+) (%%S+) ?(.*)$")
      local new = {{
        form = form, has_holes = mark == "*", till = tonumber(till), text = text,
        [1] = addresses_of(4, addresses), [28] = addresses_of(16, addresses), room = 2 * #addresses
      }}
      if count == 10000 then
        known, count = {{}}, 0
      end
      known[said], count = new, count + 1
      return new
    end

    local function decided(dq)
      local said = ffi.string(get(dq, "blocker-answer"))
      local found = known[said] or parsed(said)
      if found.form == "p" then
        set(dq, "blocker-until", tostring(found.till))
        return pass
      end
      local qtype = tonumber(C.dnsdist_ffi_dnsquestion_get_qtype(dq))
      if found.has_holes and (qtype == 43 or qtype == 48) then
        return pass
      end
      if can_explain then
        -- An SOA or addresses come to the question; 512 octets are what every client takes.
        local room = 512 - tonumber(C.dnsdist_ffi_dnsquestion_get_len(dq)) - 64 - found.room
        explain(dq, 16, found.text, #found.text <= room and #found.text or 0)
      end
      local left = ttl
      if found.till > 0 then -- Caches serve a TTL n for up to n + 1 seconds, and this one has begun.
        left = math.max(0, math.min(ttl, found.till - tonumber(C.time(nil)) - 2))
      end
      local form = found.form
      if form == "a" then
        local addresses = (qtype == 1 or qtype == 28) and found[qtype]
        if addresses and addresses.count > 0 then
          set(dq, "blocker-form", "a")
          set(dq, "blocker-ttl", tostring(left))
          C.dnsdist_ffi_dnsquestion_spoof_addrs(dq, addresses.values, addresses.count)
          return spoofed
        end
        form = "d"
      end
      if left < ttl then
        set(dq, "blocker-ttl", tostring(left))
      end
      set(dq, "blocker-form", form)
      return pass
    end

    local question = ffi.typeof("dnsdist_ffi_dnsquestion_t *")
    return function(dq)
      return decided(ffi.cast(question, dq))
    end
  ]]
  addAction(
    AndRule({{TagRule(answer), NotRule(TagRule(answer, ""))}}),
    LuaFFIPerThreadAction(string.format(read, DNSAction.None, DNSAction.HeaderModify, ttl))
  )

  local form = "blocker-form"
  local function negative(nxdomain)
    return NegativeAndSOAAction(
      nxdomain, ".", ttl, "localhost.", "nobody.invalid.", 1, 3600, 1200, 604800, ttl,
      {{soaInAuthoritySection = true}}
    )
  end
  addAction(TagRule(form, "x"), negative(true))
  addAction(TagRule(form, "d"), negative(false))
  addAction(TagRule(form, "r"), RCodeAction(DNSRCode.REFUSED))

  -- What 1.7 can't say is written into the octets of its answer. The SOA, its first record, gets to AUTHORITY
  -- by the counts of the header (RFC 1035 4.1.1). The OPT, the last, gets EDE 16, and 4 beside an address
  -- (RFC 8914); without text where that would be more than the 512 octets that every client takes.
  local write = [[
    local pass = %d
    local ffi = require("ffi")
    local C = ffi.C

    local function number(value)
      return string.char(math.floor(value / 256), value %% 256)
    end

    local function ede(code, text)
      return number(15) .. number(2 + #text) .. number(code) .. text
    end

    local known, count = {{}}, 0
    local function parsed(said)
      local text = said:match("^%%l. %%d+ %%S+ ?(.*)$")
      local new = {{[false] = ede(16, text), [true] = ede(16, text) .. ede(4, "")}}
      if count == 10000 then
        known, count = {{}}, 0
      end
      known[said], count = new, count + 1
      return new
    end
    local short = {{[false] = ede(16, ""), [true] = ede(16, "") .. ede(4, "")}}

    local function packet_of(dq)
      return ffi.cast("uint8_t *", C.dnsdist_ffi_dnsquestion_get_header(dq))
    end

    local function written(dq)
      local packet, length = packet_of(dq), tonumber(C.dnsdist_ffi_dnsquestion_get_len(dq))
      local is_refused, has_address = packet[3] %% 16 == 5, packet[7] > 0
      if not is_refused and not has_address and packet[9] == 0 and packet[11] > 0 then
        packet[9], packet[11] = 1, packet[11] - 1
      end
      local opt = length - 11
      if packet[11] ~= 1 or packet[opt] ~= 0 or packet[opt + 2] ~= 41 or packet[opt + 10] ~= 0 then
        return pass
      end
      local said = ffi.string(C.dnsdist_ffi_dnsquestion_get_tag(dq, "blocker-answer"))
      local options = (known[said] or parsed(said))[has_address]
      if length + #options > 512 then
        options = short[has_address]
      end
      if length + #options <= 512 and C.dnsdist_ffi_dnsquestion_set_size(dq, length + #options) then
        packet = packet_of(dq)
        packet[opt + 9], packet[opt + 10] = math.floor(#options / 256), #options %% 256
        ffi.copy(packet + length, options, #options)
      end
      return pass
    end

    local question = ffi.typeof("dnsdist_ffi_dnsquestion_t *")
    return function(dq)
      return written(ffi.cast(question, dq))
    end
  ]]
  if not SetMaxTTLResponseAction then
    write = string.format(write, DNSResponseAction.None)
    addSelfAnsweredResponseAction(TagRule(form), LuaFFIPerThreadResponseAction(write))
  end

  -- No TTL outlives what it was said of.
  local function capped(dr, cap)
    dr:editTTLs(function(_, _, _, was) return math.min(was, math.max(0, cap)) end)
    return DNSResponseAction.None
  end
  local function until_start(dr)
    return capped(dr, tonumber(dr:getTag("blocker-until")) - os.time() - 2)
  end
  addResponseAction(TagRule("blocker-until"), LuaResponseAction(until_start))
  addCacheHitResponseAction(TagRule("blocker-until"), LuaResponseAction(until_start))
  addSelfAnsweredResponseAction(TagRule("blocker-ttl"), LuaResponseAction(function(dr)
    return capped(dr, tonumber(dr:getTag("blocker-ttl")))
  end))
  if SetMaxTTLResponseAction then
    addResponseAction(AllRule(), SetMaxTTLResponseAction(most))
  else
    addResponseAction(AllRule(), LuaResponseAction(function(dr) return capped(dr, most) end))
  end
end
"""


def render(enforcement: Enforcement, store: str) -> str:
    """The rules for the site, to be included in dnsdist's own configuration.

    `store` is the path of dnsdist.lmdb. Raises ValueError for too many regions.
    """
    regions = {*enforcement.regions, *filter(None, [enforcement.default_region])}
    if len(regions) > MOST_REGIONS:
        raise ValueError(f"dnsdist can look at {MOST_REGIONS} regions at most, the site has {len(regions)}")
    return _HEAD + _RULES.format(
        store=_quoted(store),
        ttl=enforcement.ttl,
        max_ttl=enforcement.max_ttl,
        regions="\n".join(_region(enforcement, region) for region in sorted(regions)),
    )


def _region(enforcement: Enforcement, region: str) -> str:
    """The clients of a region: its own prefixes, but not those of others inside them.

    Who carries an IPv4 address (RFC 4291 §2.5.5.2) is known by that, and not in an IPv6 prefix around it.
    Of a prefix that comes twice the last word counts.
    """
    prefixes = list(_prefixes(enforcement.regions.get(region, ())))
    is_wide = any(
        network.version == 6 and _MAPPED.subnet_of(network)
        for networks in enforcement.regions.values()
        for network in networks
    )
    if region == enforcement.default_region:
        prefixes += ["0.0.0.0/0", "::/0", *([str(_MAPPED)] if is_wide else [])]
    elif is_wide and prefixes:
        prefixes.insert(0, f"!{_MAPPED}")
    others = [other for name, networks in enforcement.regions.items() if name != region for other in networks]
    if prefixes:
        prefixes += [f"!{prefix}" for prefix in _prefixes(others)]
    return f"  region({_quoted(region)}, {{{', '.join(map(_quoted, prefixes))}}})"


def _prefixes(networks: Iterable[Network]) -> Iterable[str]:
    """Every prefix, an IPv4 one as the IPv6 that carries it too."""
    for network in networks:
        yield str(network)
        if network.version == 4:
            yield f"::ffff:{network.network_address}/{_MAPPED.prefixlen + network.prefixlen}"


def _quoted(text: str) -> str:
    """A Lua string."""
    escaped = "".join(
        char
        if char.isprintable() and char not in '"\\'
        else "".join(f"\\{octet:03d}" for octet in char.encode())
        for char in text
    )
    return f'"{escaped}"'
