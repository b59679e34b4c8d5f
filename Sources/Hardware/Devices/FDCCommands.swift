import CPU
import Primitives

/// Intel 82077AA, the commands.
///
/// Source: Intel *82077AA* data sheet, table 5-1 "82077AA Command Set" and chapter 5; the status registers of chapter 6.
///
/// Not implemented: see `FDC`.
extension FDC {
    /// Bytes of a command, its opcode included; 1 for codes that do not exist.
    static func length(of opcode: UInt8) -> Int {
        switch Command(opcode) {
        case .readData, .readDeleted, .readTrack, .writeData, .writeDeleted, .verify: 9
        case .format: 6
        case .configure: 4
        case .specify, .seek, .relativeSeek: 3
        case .recalibrate, .senseDrive, .readID, .perpendicular: 2
        case .senseInterrupt, .version, .dumpRegisters, .lock, .invalid: 1
        }
    }

    /// A command code with its modifier bits (MT, MFM, SK, LOCK, DIR) taken off.
    enum Command: String, Codable, Sendable {
        case readData, readDeleted, readTrack, writeData, writeDeleted, verify, format, configure, specify, seek, relativeSeek
        case recalibrate, senseDrive, readID, perpendicular, senseInterrupt, version, dumpRegisters, lock, invalid

        init(_ opcode: UInt8) {
            switch opcode {
            case 0x03: self = .specify
            case 0x04: self = .senseDrive
            case 0x07: self = .recalibrate
            case 0x08: self = .senseInterrupt
            case 0x0E: self = .dumpRegisters
            case 0x0F: self = .seek
            case 0x8F, 0xCF: self = .relativeSeek
            case 0x10: self = .version
            case 0x12: self = .perpendicular
            case 0x13: self = .configure
            case 0x14, 0x94: self = .lock
            default:
                switch (opcode & 0x1F, opcode >> 5) {
                case (0x06, _): self = .readData
                case (0x0C, _): self = .readDeleted
                case (0x16, _): self = .verify
                case (0x05, let bits) where bits & 1 == 0: self = .writeData
                case (0x09, let bits) where bits & 1 == 0: self = .writeDeleted
                case (0x02, let bits) where bits & 4 == 0: self = .readTrack
                case (0x0A, let bits) where bits & 5 == 0: self = .readID
                case (0x0D, let bits) where bits & 5 == 0: self = .format
                default: self = .invalid
                }
            }
        }
    }

    /// All bytes of a command are here.
    mutating func execute(_ wires: inout Wires) {
        let bytes = command
        command.removeAll()
        let unit = bytes.count > 1 ? Int(bytes[1] & 3) : 0
        switch Command(bytes[0]) {
        case .specify: specify = [bytes[1], bytes[2]]
        case .senseDrive: answer([senseDrive(bytes[1], wires)])
        case .recalibrate:
            let steps = min(track[unit], 79)
            let noTrack0 = track[unit] > 79 || unit > 1
            track[unit] -= steps
            pcn[unit] = 0
            startSeek(unit, steps: Int(steps), status: Bit.seekEnd | UInt8(unit) | (noTrack0 ? Bit.abnormal | Bit.equipment : 0), wires)
        case .seek:
            let delta = Int(bytes[2]) - Int(pcn[unit])
            moveHeads(unit, by: delta)
            pcn[unit] = bytes[2]
            startSeek(unit, steps: abs(delta), status: Bit.seekEnd | (bytes[1] & 7), wires)
        case .relativeSeek:
            let steps = Int(bytes[2])
            let inward = bytes[0] & 0x40 != 0
            moveHeads(unit, by: inward ? steps : -steps)
            pcn[unit] = inward ? pcn[unit] &+ bytes[2] : pcn[unit] &- bytes[2]
            startSeek(unit, steps: steps, status: Bit.seekEnd | (bytes[1] & 7), wires)
        case .senseInterrupt: senseInterrupt()
        case .dumpRegisters:
            answer(pcn + specify + [lastEOT, (lock ? 0x80 : 0) | perpendicular] + configure)
        case .version: answer([0x90])
        case .perpendicular:
            // D3–D0 change only when OW is set (data sheet, "Perpendicular mode").
            let drives = bytes[1] & 0x80 != 0 ? bytes[1] & 0b0011_1100 : perpendicular & 0b0011_1100
            perpendicular = drives | (bytes[1] & 3)
        case .configure: configure = [bytes[2], bytes[3]]
        case .lock:
            lock = bytes[0] & 0x80 != 0
            answer([lock ? 0x10 : 0])
        case .readData: startTransfer(.read, bytes, wires)
        case .readDeleted: startTransfer(.readDeleted, bytes, wires)
        case .readTrack: startTransfer(.readTrack, bytes, wires)
        case .verify: startTransfer(.verify, bytes, wires)
        case .writeData, .writeDeleted: startTransfer(.write, bytes, wires)
        case .format: startTransfer(.format, bytes, wires)
        case .readID: startTransfer(.readID, bytes, wires)
        case .invalid: answer([Bit.invalid])
        }
    }

    /// Enters the result phase, without interrupt.
    mutating func answer(_ bytes: [UInt8]) {
        result = bytes
        phase = .result
    }

    private mutating func senseInterrupt() {
        if resetSenses > 0 {
            let unit = 4 - resetSenses
            resetSenses -= 1
            interrupt = false
            answer([Bit.ready | UInt8(unit), pcn[unit]])
            return
        }
        guard let unit = seekResult.firstIndex(where: { $0 != nil }), let status = seekResult[unit] else { return answer([Bit.invalid]) }
        seekResult[unit] = nil
        interrupt = seekResult.contains { $0 != nil }
        answer([status, pcn[unit]])
    }

    private func senseDrive(_ select: UInt8, _ wires: Wires) -> UInt8 {
        let unit = Int(select & 3)
        var st3: UInt8 = 0b0010_1000 | (select & 7)  // bits 5 and 3 read as 1 (data sheet, "Status register 3")
        if unit < 2, track[unit] == 0 { st3 |= 0x10 }
        if let medium = medium(unit, wires), medium.readOnly { st3 |= 0x40 }
        return st3
    }

    private mutating func moveHeads(_ unit: Int, by steps: Int) {
        track[unit] = UInt8(min(max(Int(track[unit]) + steps, 0), FDC.lastTrack))
    }

    /// The innermost position that the stop of a drive allows.
    static let lastTrack = 85

    private mutating func startSeek(_ unit: Int, steps: Int, status: UInt8, _ wires: Wires) {
        seekResult[unit] = nil
        seekStatus[unit] = status
        seekDeadline[unit] = wires.now &+ Time.settle &+ Time.step &* Nanoseconds(min(steps, 80))
    }
}
