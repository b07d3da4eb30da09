-- Says EDE 16, Censored, in every blocked answer. The zone's own extendedErrorCode says it in answers that pass
-- because an order excepts them, too.

local info = "https://isp.example/blocked"

local blocked = {
    [pdns.policykinds.NXDOMAIN] = true,
    [pdns.policykinds.NODATA] = true,
    [pdns.policykinds.Custom] = true,
}

function postresolve(dq)
    if blocked[dq.appliedPolicy.policyKind] then
        dq.extendedErrorCode = 16
        dq.extendedErrorExtra = info
    end
    return false
end
