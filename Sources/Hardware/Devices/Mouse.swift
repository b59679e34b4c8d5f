import Primitives

/// Microsoft IntelliMouse and IntelliMouse Explorer on the PS/2 port, beginning as a standard IBM PS/2 mouse.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference – Common Interfaces* (1990), "Mouse"; Microsoft *Intellimouse PS/2*
/// hardware notes (sample rates 200, 100, 80 turn on the wheel, ID 3; 200, 200, 80 then five buttons, ID 4).
///
/// Commands: E6/E7 scaling, E8 resolution, E9 status, EA stream, EB read data, EC/EE wrap mode, F0 remote, F2 identify, F3 sample
/// rate, F4/F5 reporting, F6 defaults, FE resend, FF reset.
///
/// Not implemented: nothing of the standard set. Movement of more than 255 counts is spread over several packets; past 2,048 the
/// rest is lost and the overflow bit set.
public struct Mouse: Codable, Equatable, Sendable {
    /// Movement with one state of the buttons.
    struct Motion: Codable, Equatable, Sendable {
        /// Counts to the right, upwards, and wheel clicks towards the user.
        var dx = 0, dy = 0, dz = 0
        var buttons: UInt8 = 0
        var overflowX = false, overflowY = false
    }
    static let accumulatorLimit = 2048

    public internal(set) var link = PS2Link()
    /// Stream mode's data reporting (F4).
    public private(set) var reporting = false
    public private(set) var remote = false, wrap = false
    /// 2:1 scaling.
    public private(set) var scaling = false
    /// 0–3: 1, 2, 4 or 8 counts a millimetre.
    public private(set) var resolution: UInt8 = 2
    /// Packets a second.
    public private(set) var sampleRate: UInt8 = 100
    /// Device ID: 0 standard, 3 wheel, 4 five buttons.
    public private(set) var identity: UInt8 = 0
    /// Button state: bit 0 left, 1 right, 2 middle, 3 and 4 the side buttons.
    public private(set) var buttons: UInt8 = 0
    private var awaiting: UInt8 = 0
    /// The last three sample rates set, the latest last.
    private var rates: [UInt8] = [0, 0, 0]
    /// What has not been reported yet, oldest first.
    private var motions: [Motion] = []
    /// Earliest time of the next packet in stream mode.
    private var nextSample: Nanoseconds = 0

    public init() {}

    // MARK: Movement

    /// - Parameters:
    ///   - dx: counts to the right; `dy`: counts downwards; `wheel`: clicks towards the user (down).
    ///   - buttons: as in `self.buttons`.
    mutating func move(dx: Int, dy: Int, buttons: UInt8, wheel: Int, at now: Nanoseconds) {
        let pressed = buttons & 0b1_1111
        let limit = 1 << 20
        let dx = min(max(dx, -limit), limit), dy = -min(max(dy, -limit), limit), dz = min(max(wheel, -limit), limit)
        guard dx != 0 || dy != 0 || dz != 0 || pressed != self.buttons else { return }
        self.buttons = pressed
        guard remote || reporting else { return }  // counters stand still
        if motions.last?.buttons != pressed || motions.isEmpty {
            // Keep clicks apart from each other, but not without end: a guest that never reads sees the last ones.
            if motions.count >= 32 { motions.removeFirst() }
            motions.append(Motion(buttons: pressed))
        }
        motions[motions.count - 1].add(dx, dy, dz, limit: Self.accumulatorLimit)
    }

    /// Time of the next packet; nil when there is nothing to report by itself.
    var sampleTime: Nanoseconds? {
        reporting && !remote && !wrap && !motions.isEmpty && link.isEmpty ? nextSample : nil
    }

    mutating func tick(at now: Nanoseconds) {
        guard let due = sampleTime, now >= due else { return }
        link.send(packet(), at: now)
        nextSample = now &+ 1_000_000_000 / UInt64(max(sampleRate, 1))
    }

    /// The oldest movement as a packet; what does not fit stays for the next.
    private mutating func packet() -> [UInt8] {
        var motion = motions.first ?? Motion(buttons: buttons)
        let x = min(max(motion.dx, -255), 255), y = min(max(motion.dy, -255), 255), z = min(max(motion.dz, -8), 7)
        let overflowX = motion.overflowX, overflowY = motion.overflowY
        motion.dx -= x
        motion.dy -= y
        motion.dz -= z
        motion.overflowX = false
        motion.overflowY = false
        if !motions.isEmpty {
            let wheelLeft = motion.dz != 0 && identity != 0
            if motion.dx != 0 || motion.dy != 0 || wheelLeft { motions[0] = motion } else { motions.removeFirst() }
        }
        let (sx, sy) = scaling && !remote ? (Self.scaled(x), Self.scaled(y)) : (x, y)
        let first = motion.buttons & 7 | 0x08 | (sx < 0 ? 0x10 : 0) | (sy < 0 ? 0x20 : 0)
            | (overflowX || abs(sx) > 255 ? 0x40 : 0) | (overflowY || abs(sy) > 255 ? 0x80 : 0)
        var bytes = [first, UInt8(truncatingIfNeeded: sx), UInt8(truncatingIfNeeded: sy)]
        switch identity {
        case 3: bytes.append(UInt8(truncatingIfNeeded: z))
        case 4: bytes.append(UInt8(truncatingIfNeeded: z) & 0x0F | motion.buttons << 1 & 0x30)
        default: break
        }
        return bytes
    }

    /// 2:1 scaling: 0 0, 1 1, 2 1, 3 3, 4 6, 5 9, N 2N.
    private static func scaled(_ counts: Int) -> Int {
        let size = abs(counts)
        let result = size < 6 ? [0, 1, 1, 3, 6, 9][size] : 2 * size
        return counts < 0 ? -result : result
    }

    // MARK: Commands from the host

    mutating func receive(_ byte: UInt8, at now: Nanoseconds) {
        link.lineBusy(at: now)
        if wrap, byte != 0xEC, byte != 0xFF {
            link.reply([byte], at: now)
            return
        }
        // No parameter is as great as a command.
        if awaiting != 0, byte < 0xE6 {
            receiveParameter(byte, at: now)
            return
        }
        awaiting = 0
        // A command ends the packet under way.
        link.clearData()
        link.clearReplies()
        switch byte {
        case 0xE6: scaling = false
        case 0xE7: scaling = true
        case 0xE8, 0xF3: awaiting = byte
        case 0xE9:
            link.reply([0xFA, status, resolution, sampleRate], at: now)
            return
        case 0xEA:
            remote = false
            motions.removeAll()
        case 0xEB:
            link.reply([0xFA] + packet(), at: now)
            return
        case 0xEC: wrap = false
        case 0xEE: wrap = true
        case 0xF0:
            remote = true
            motions.removeAll()
        case 0xF2:
            link.reply([0xFA, identity], at: now)
            return
        case 0xF4:
            reporting = true
            motions.removeAll()
        case 0xF5:
            reporting = false
            motions.removeAll()
        case 0xF6: setDefaults()
        case 0xFE:
            link.reply([link.last], at: now)
            return
        case 0xFF:
            setDefaults()
            wrap = false
            identity = 0
            link.reply([0xFA, 0xAA, 0x00], slowIndex: 1, at: now)
            return
        default:
            link.reply([0xFE], at: now)
            return
        }
        link.reply([0xFA], at: now)
    }

    private mutating func receiveParameter(_ byte: UInt8, at now: Nanoseconds) {
        let command = awaiting
        awaiting = 0
        if command == 0xE8 {
            guard byte < 4 else {
                link.reply([0xFE], at: now)
                return
            }
            resolution = byte
        } else {
            guard byte != 0, byte <= 200 else {
                link.reply([0xFE], at: now)
                return
            }
            sampleRate = byte
            rates = [rates[1], rates[2], byte]
            if rates == [200, 100, 80] { identity = max(identity, 3) }
            if rates == [200, 200, 80] { identity = 4 }
        }
        link.reply([0xFA], at: now)
    }

    private var status: UInt8 {
        // Left, middle and right are bits 2, 1 and 0 here.
        (remote ? 0x40 : 0) | (reporting ? 0x20 : 0) | (scaling ? 0x10 : 0)
            | (buttons & 1) << 2 | (buttons & 4) >> 1 | (buttons & 2) >> 1
    }

    private mutating func setDefaults() {
        reporting = false
        remote = false
        scaling = false
        resolution = 2
        sampleRate = 100
        rates = [0, 0, 0]
        awaiting = 0
        motions.removeAll()
        link.clearData()
    }
}

extension Mouse.Motion {
    fileprivate mutating func add(_ dx: Int, _ dy: Int, _ dz: Int, limit: Int) {
        self.dx += dx
        self.dy += dy
        self.dz = min(max(self.dz + dz, -limit), limit)
        if abs(self.dx) > limit {
            self.dx = self.dx < 0 ? -limit : limit
            overflowX = true
        }
        if abs(self.dy) > limit {
            self.dy = self.dy < 0 ? -limit : limit
            overflowY = true
        }
    }
}
