-- The policy of one region as a zone, transferred from the hidden primary (ops/bind).
-- PowerDNS before 5.1 hears no NOTIFY: it asks for the serial every `refresh` seconds, 1 is the least.
-- The secret is that of the primary's blocker-transfer.key; keep this file 0640, group pdns.

-- Debian's own file of this kind sets the root's trust anchors; only one such file is read.
local anchors = "/usr/share/pdns-recursor/lua-config/rootkeys.lua"
local file = io.open(anchors)
if file then
    file:close()
    dofile(anchors)
end

rpzPrimary("192.0.2.53:5354", "id.rpz.isp.example", {
    policyName = "id.rpz.isp.example",
    refresh = 1,
    maxTTL = 30,
    tsigname = "blocker-transfer",
    tsigalgo = "hmac-sha256",
    tsigsecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    -- The last zone known is enforced from the first query after a restart, with or without the primary.
    seedFile = "/var/lib/powerdns/id.rpz.isp.example.zone",
    dumpFile = "/var/lib/powerdns/id.rpz.isp.example.zone",
})
