-- Knot Resolver 5 as an enforcement point: the zone file of one region, read anew within 0.2 s of a change.
--
-- kresd.conf says, before its own policy rules:
--
--     blocker = {
--         zone = '/var/lib/blocker/state/rpz/id.rpz.isp.example.zone',   -- what `blocker push` writes
--         info = 'https://isp.example/blocked',                    -- told in the EDE of every blocked answer
--         ttl = 30,                                                -- seconds a blocked answer may be kept
--     }
--     dofile('/etc/knot-resolver/blocker.lua')
--
-- policy.rpz() alone does not do: it never looks at where an alias leads, does not see a file that is replaced by
-- rename, ends the walk through the rules at a name that passes (so that it is not forwarded), and says NXDOMAIN
-- with an SOA that may be kept for three hours.

local ffi = require('ffi')

local SOA = '\9localhost\0\6nobody\7invalid\0\0\0\0\1\0\0\14\16\0\0\4\176\0\9\58\128'
	.. string.char(0, 0, math.floor(blocker.ttl / 256), blocker.ttl % 256)
local NXDOMAIN, NODATA, PASS = {}, {}, {}
local TARGETS = { ['\0'] = NXDOMAIN, ['\1*\0'] = NODATA, ['\12rpz-passthru\0'] = PASS }
local MOST_LINKS = 16

-- Owner (in wire form, without the zone's name) -> NXDOMAIN, NODATA, PASS or the addresses by type.
local rules = {}

-- A long list is read in small pieces, between which queries are answered.
local PIECE = 2000  -- records

local function take(parser, found, cut)
	local kind = tonumber(parser.r_type)
	local owner = ffi.string(parser.r_owner, parser.r_owner_length):lower()
	local data = ffi.string(parser.r_data, parser.r_data_length)
	if kind == kres.type.SOA then
		return #owner
	elseif not cut then
		return nil
	elseif kind == kres.type.CNAME then
		found[owner:sub(1, -cut - 1) .. '\0'] = TARGETS[data]
	elseif kind == kres.type.A or kind == kres.type.AAAA then
		local name = owner:sub(1, -cut - 1) .. '\0'
		local addresses = found[name] or {}
		addresses[kind] = addresses[kind] or {}
		table.insert(addresses[kind], data)
		found[name] = addresses
	end
	return cut
end

local function refuse(why)
	log_error(ffi.C.LOG_GRP_POLICY, 'blocker: ' .. blocker.zone .. ' is not enforced: ' .. tostring(why)
		.. '; the one before goes on')
end

-- Reads the file in pieces of so many records and puts its rules in place when all of it was read; `finished` is
-- called in any case.
local function read_zone(size, finished)
	local parser, found, cut = require('zonefile').new(), {}, nil
	local function read_piece()
		for _ = 1, size do
			local more, why = parser:parse()
			if why then error('line ' .. tonumber(parser.line_counter) .. ': ' .. why, 0) end
			if not more then
				rules = found
				return true
			end
			cut = take(parser, found, cut)
			if not cut then error('the first record is no SOA', 0) end
		end
		return false
	end
	local function go_on()
		local fine, done = pcall(read_piece)
		if not fine then refuse(done) end
		if not fine or done then return finished() end
		event.after(1, go_on)
	end
	local fine, why = parser:open(blocker.zone)
	if fine then return go_on() end
	refuse(why)
	finished()
end

-- The serial stands in the first lines of the file, and is another one whenever anything else is.
local function serial()
	local file = io.open(blocker.zone)
	if not file then return nil end
	local head = file:read(4096) or ''
	file:close()
	return head:match('SOA[^\n]*')
end

local known
local is_reading = false
local function refresh(size)
	if is_reading then return end
	local found = serial()
	if found == nil or found == known then return end
	known, is_reading = found, true
	read_zone(size, function () is_reading = false end)
end

-- Before the first query all of it is read at once.
refresh(math.huge)
if known == nil then
	log_error(ffi.C.LOG_GRP_POLICY, 'blocker: ' .. blocker.zone .. ' is not there yet: nothing is enforced')
end
event.recurrent(sec / 5, function () refresh(PIECE) end)

-- The rule for a name: its own, or that of the nearest wildcard. The zone is closed, so the nearest is the right
-- one.
local function rule_for(name)
	local rule = rules[name]
	while rule == nil and #name > 1 do
		name = name:sub(name:byte() + 2)
		rule = rules['\1*' .. name]
	end
	return rule
end

-- Answers by the rule: after the links that lead from the question to the name that is blocked.
local function blocked(rule, links, name)
	return function (_, req)
		req.answ_selected.len, req.auth_selected.len, req.add_selected.len = 0, 0, 0
		local answer = req:ensure_answer()
		if answer == nil then return nil end
		answer:clear_payload()
		req:ensure_edns()
		ffi.C.kr_pkt_make_auth_header(answer)
		answer:rcode(rule == NXDOMAIN and kres.rcode.NXDOMAIN or kres.rcode.NOERROR)
		answer:ad(false)
		answer:begin(kres.section.ANSWER)
		for _, link in ipairs(links) do
			answer:put(link.owner, math.min(link.ttl, blocker.ttl), answer:qclass(), kres.type.CNAME, link.target)
		end
		local addresses = rule[answer:qtype()]
		for _, data in ipairs(addresses or {}) do
			answer:put(name, blocker.ttl, answer:qclass(), answer:qtype(), data)
		end
		if not addresses then
			answer:begin(kres.section.AUTHORITY)
			answer:put(name, blocker.ttl, answer:qclass(), kres.type.SOA, SOA)
		end
		req:set_extended_error(kres.extended_error.CENSORED, blocker.info)
		return kres.DONE
	end
end

-- Before resolving: the name that was asked for. Without recursion desired kresd refuses every query by itself, but
-- after this rule: a block would go out as REFUSED with what it had put into the answer.
policy.add(function (req, query)
	local name = query:name()
	local rule = rule_for(name)
	if rule == nil or rule == PASS then return nil end
	local asked = req.qsource.packet
	if asked ~= nil and not asked:rd() then return policy.REFUSE end
	return blocked(rule, {}, name)
end)

-- After resolving, and from the cache too: where its aliases led. What starts at a name that passes by an order's
-- except is left alone.
local function led_astray(req)
	local targets
	for i = 0, tonumber(req.answ_selected.len) - 1 do
		local entry = req.answ_selected.at[i]
		if entry.to_wire and entry.rr.type == kres.type.CNAME then
			targets = targets or {}
			targets[entry.rr:owner():lower()] = { target = entry.rr:rdata(0), ttl = entry.rr:ttl() }
		end
	end
	if not targets then return nil end
	local name, links = req:initial():name(), {}
	if rule_for(name) == PASS then return nil end
	while targets[name] and #links < MOST_LINKS do
		local link = targets[name]
		table.insert(links, { owner = name, target = link.target, ttl = link.ttl })
		name = link.target:lower()
		local rule = rule_for(name)
		if rule ~= nil and rule ~= PASS then return blocked(rule, links, name) end
	end
	return nil
end

-- cache.max_ttl() is for what comes from the cache; who asks first would get the TTL of the authority.
local function cap(section)
	local most = cache.max_ttl()
	for i = 0, tonumber(section.len) - 1 do
		local rr = section.at[i].rr
		if rr:ttl() > most then rr._ttl = most end
	end
end

-- Not a postrule: those run when the EDE is written already.
package.loaded['kres_modules.blocker_aliases'] = {
	layer = {
		answer_finalize = function (state, req)
			local action = led_astray(req)
			if action then action(state, req) end
			cap(req.answ_selected)
			cap(req.auth_selected)
			cap(req.add_selected)
			return state
		end,
	},
}
modules.load('blocker_aliases < extended_error')
