-- Knot Resolver 5 as an enforcement point: the zone file of one region, read anew within 0.2 s of a change.
--
-- kresd.conf says, before its own policy rules:
--
--     blocker = {
--         zone = '/var/lib/blocker/rpz/id.rpz.isp.example.zone',   -- what `blocker push` writes
--         info = 'https://isp.example/blocked',                    -- told in the EDE of every blocked answer
--         ttl = 30,                                                -- seconds a blocked answer may be kept
--     }
--     dofile('/etc/knot-resolver/blocker.lua')
--
-- More than policy.rpz() alone does: the file is replaced by rename, which its own watch does not see; a name
-- that passes goes on to the rules after this one (forwarding, say) where rpz-passthru would end the walk; and
-- every blocked answer says EDE 16, Censored, and ends in time: policy.DENY's own may be kept for three hours.

local ffi = require('ffi')

local SOA = '\9localhost\0\6nobody\7invalid\0\0\0\0\1\0\0\14\16\0\0\4\176\0\9\58\128'
local TTL = string.char(0, 0, math.floor(blocker.ttl / 256), blocker.ttl % 256)

local function nxdomain(_, req)
	local answer = req:ensure_answer()
	if answer == nil then return nil end
	ffi.C.kr_pkt_make_auth_header(answer)
	answer:rcode(kres.rcode.NXDOMAIN)
	answer:begin(kres.section.AUTHORITY)
	answer:put(answer:qname(), blocker.ttl, answer:qclass(), kres.type.SOA, SOA .. TTL)
	return kres.DONE
end

-- Says on whose behalf. What policy.ANSWER said before, Forged, would otherwise win.
local function censored(action)
	return function (state, req)
		local next_state = action(state, req)
		if next_state == kres.DONE then
			req.extended_error.info_code = kres.extended_error.NONE
			req:set_extended_error(kres.extended_error.CENSORED, blocker.info)
		end
		return next_state
	end
end

local rules
local function read_zone()
	rules = policy.rpz(nxdomain, blocker.zone, false)
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
local function refresh()
	local found = serial()
	if found == nil or found == known then return end
	local fine, why = pcall(read_zone)
	if fine then
		known = found
		log_info(ffi.C.LOG_GRP_POLICY, 'blocker: read ' .. blocker.zone .. ', ' .. found)
	else
		log_warn(ffi.C.LOG_GRP_POLICY, 'blocker: ' .. blocker.zone .. ' stays as it was: ' .. tostring(why))
	end
end

refresh()
event.recurrent(sec / 5, refresh)

policy.add(function (req, query)
	local action = rules and rules(req, query)
	if action == nil or action == policy.PASS then return nil end
	return censored(action)
end)
