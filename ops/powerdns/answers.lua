-- Says EDE 16, Censored, in every answer that the zone blocked. Its own extendedErrorCode says it in answers that
-- pass because an order excepts them, too.

local zone = "id.rpz.isp.example"
local info = "https://isp.example/blocked"

local blocked = {
    [pdns.policykinds.NXDOMAIN] = true,
    [pdns.policykinds.NODATA] = true,
    [pdns.policykinds.Custom] = true,
}

-- Without recursion the zone is asked about the name alone, not about where an alias leads: nobody gets more from
-- the cache than from the zone.
function preresolve(dq)
    if not dq:getDH():getRD() then
        dq.rcode = pdns.REFUSED
        return true
    end
    return false
end

function postresolve(dq)
    -- What another zone blocks nobody ordered.
    if dq.appliedPolicy.policyName == zone and blocked[dq.appliedPolicy.policyKind] then
        dq.extendedErrorCode = 16
        dq.extendedErrorExtra = info
    end
    return false
end
