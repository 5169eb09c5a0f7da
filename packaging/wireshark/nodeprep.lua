-- Wireshark dissector for the messages of nodeprep's peers: frames with the EtherType 0x88B5, and datagrams to or from
-- UDP port 7877 (for another one: Decode As). docs/protocol.md has the format.
--
-- Copy it to the folder of personal plugins (Help, About Wireshark, Folders), or
--     tshark -X lua_script:nodeprep.lua -r capture.pcap
-- Without the fleet key nobody can tell a genuine frame from a forged one, and neither does this.

local nodeprep = Proto("nodeprep", "nodeprep peers")

local types = { [1] = "Probe", [2] = "Conflict", [3] = "Announce" }
local standings = { [0] = "probing", [1] = "joined", [2] = "ready" }
local kinds = {
    [1] = "machine ID", [2] = "hostname", [3] = "MAC", [4] = "IPv4 address", [5] = "IPv6 address", [6] = "SSH host key",
}

local f = nodeprep.fields
f.magic = ProtoField.string("nodeprep.magic", "Magic")
f.version = ProtoField.uint8("nodeprep.version", "Version")
f.length = ProtoField.uint16("nodeprep.length", "Length")
f.nonce = ProtoField.bytes("nodeprep.nonce", "Nonce", base.NONE)
f.stamp = ProtoField.uint64("nodeprep.stamp", "Stamp (microseconds)")
f.type = ProtoField.uint8("nodeprep.type", "Type", base.DEC, types)
f.flags = ProtoField.uint8("nodeprep.flags", "Flags", base.HEX)
f.heard = ProtoField.bool("nodeprep.flags.heard", "Heard", 8, nil, 0x01)
f.standing = ProtoField.uint8("nodeprep.standing", "Standing", base.DEC, standings)
f.role = ProtoField.string("nodeprep.role", "Role")
f.answer = ProtoField.bytes("nodeprep.answer", "Addressed to nonce", base.NONE)
f.claim = ProtoField.none("nodeprep.claim", "Claim")
f.kind = ProtoField.uint8("nodeprep.claim.kind", "Kind", base.DEC, kinds)
f.token = ProtoField.bytes("nodeprep.claim.token", "Token", base.NONE)
f.mac = ProtoField.bytes("nodeprep.mac", "MAC (HMAC-SHA256, 16 bytes)", base.NONE)

local malformed = ProtoExpert.new(
    "nodeprep.malformed", "The counts do not agree with the length", expert.group.MALFORMED, expert.severity.ERROR)
nodeprep.experts = { malformed }

local HEADER, BODY, MAC, NONCE, CLAIM = 31, 6, 16, 16, 17
local FRAME_MIN = HEADER + BODY + MAC

function nodeprep.dissector(buffer, packet, tree)
    if buffer:len() < FRAME_MIN or buffer(0, 4):string() ~= "ndpr" then
        return 0
    end
    local length = buffer(5, 2):uint()
    packet.cols.protocol = "nodeprep"
    local root = tree:add(nodeprep, buffer(0, math.min(length, buffer:len())))
    root:add(f.magic, buffer(0, 4))
    root:add(f.version, buffer(4, 1))
    root:add(f.length, buffer(5, 2))
    if buffer(4, 1):uint() ~= 1 then
        packet.cols.info = "version " .. buffer(4, 1):uint()
        return buffer:len()
    end
    root:add(f.nonce, buffer(7, 16))
    root:add(f.stamp, buffer(23, 8))
    root:add(f.type, buffer(31, 1))
    root:add(f.flags, buffer(32, 1)):add(f.heard, buffer(32, 1))
    root:add(f.standing, buffer(33, 1))
    local role, answers, claims = buffer(34, 1):uint(), buffer(35, 1):uint(), buffer(36, 1):uint()
    if length ~= FRAME_MIN + role + answers * NONCE + claims * CLAIM or length > buffer:len() then
        root:add_proto_expert_info(malformed)
        return buffer:len()
    end
    local at = HEADER + BODY
    if role > 0 then
        root:add(f.role, buffer(at, role))
    end
    at = at + role
    for _ = 1, answers do
        root:add(f.answer, buffer(at, NONCE))
        at = at + NONCE
    end
    for _ = 1, claims do
        local claim = root:add(f.claim, buffer(at, CLAIM))
        local kind = buffer(at, 1):uint()
        claim:append_text(": " .. (kinds[kind] or ("kind " .. kind)))
        claim:add(f.kind, buffer(at, 1))
        claim:add(f.token, buffer(at + 1, 16))
        at = at + CLAIM
    end
    root:add(f.mac, buffer(at, MAC))
    local info = (types[buffer(31, 1):uint()] or "?") .. " by " .. tostring(buffer(7, 4):bytes()):lower()
    info = info .. " (" .. (standings[buffer(33, 1):uint()] or "?")
    if role > 0 then
        info = info .. ", " .. buffer(HEADER + BODY, role):string()
    end
    info = info .. "), " .. claims .. " claims"
    if answers > 0 then
        info = info .. ", to " .. answers .. " peers"
    end
    packet.cols.info = info
    return length
end

DissectorTable.get("ethertype"):add(0x88B5, nodeprep)
DissectorTable.get("udp.port"):add(7877, nodeprep)
