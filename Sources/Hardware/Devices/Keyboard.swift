import Primitives

/// IBM 101/102-key enhanced keyboard with Windows keys, the device at the end of the PS/2 cable.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference – Common Interfaces* (1990), "Keyboards (101- and 102-Key)".
///
/// Commands: ED lights, EE echo, F0 scan code set, F2 identify, F3 typematic, F4 enable, F5 disable, F6 defaults, F7–FA all keys'
/// kind (set 3), FB–FD one key's kind (accepted, without effect), FE resend, FF reset.
///
/// Not implemented: kinds of single keys in set 3; ghosting of key combinations. The buffer holds 64 bytes, not 16.
public struct Keyboard: Codable, Equatable, Sendable {
    static let bufferBytes = 64

    public internal(set) var link = PS2Link()
    /// Lights: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    public private(set) var leds: UInt8 = 0
    /// Scan code set 1–3.
    public private(set) var scanSet: UInt8 = 2
    public private(set) var scanning = true
    /// Keys physically down, by position in `PCKey.allCases`.
    private var held: [UInt64] = [0, 0]
    /// Set 3 kinds: 0 as after power-on, else the last of 0xF7–0xFA.
    private var kinds: UInt8 = 0
    /// Command whose parameter is awaited; 0 = none.
    private var awaiting: UInt8 = 0
    /// Typematic delay and period in nanoseconds.
    public private(set) var repeatDelay: Nanoseconds = 500_000_000, repeatPeriod: Nanoseconds = 91_700_000
    /// The key that repeats, and when next.
    private var repeating: PCKey?
    public private(set) var repeatTime: Nanoseconds?
    /// What the cursor block has hidden: 0 nothing, 0x12 left Shift, 0x59 right Shift, 0xFF it pressed a left Shift of its own.
    private var hidden: UInt8 = 0
    /// Print Screen went down as SysRq (with Alt), or without its Shift (with Shift or Ctrl).
    private var sysRq = false, plainPrint = false

    public init() {}

    public func isDown(_ key: PCKey) -> Bool {
        let n = KeyboardCodes.index(key)
        return held[n / 64] & (1 << UInt64(n % 64)) != 0
    }

    // MARK: Commands from the host

    mutating func receive(_ byte: UInt8, at now: Nanoseconds) {
        link.lineBusy(at: now)
        // A parameter is below 0x80; anything else is the next command.
        if awaiting != 0, byte < 0x80 || awaiting >= 0xFB {
            receiveParameter(byte, at: now)
            return
        }
        awaiting = 0
        switch byte {
        case 0xED, 0xF0, 0xF3, 0xFB...0xFD:
            awaiting = byte
            acknowledge(at: now)
        case 0xEE: link.reply([0xEE], at: now)
        case 0xF2: link.reply([0xFA, 0xAB, 0x83], at: now)
        case 0xF4:
            link.clearData()
            scanning = true
            acknowledge(at: now)
        case 0xF5:
            setDefaults()
            scanning = false
            acknowledge(at: now)
        case 0xF6:
            setDefaults()
            acknowledge(at: now)
        case 0xF7...0xFA:
            kinds = byte
            acknowledge(at: now)
        case 0xFE: link.reply([link.last], at: now)
        case 0xFF:
            setDefaults()
            leds = 0
            scanSet = 2
            scanning = true
            held = [0, 0]
            link.clearReplies()
            link.reply([0xFA, 0xAA], slowIndex: 1, at: now)
        default: link.reply([0xFE], at: now)
        }
    }

    private mutating func receiveParameter(_ byte: UInt8, at now: Nanoseconds) {
        let command = awaiting
        switch command {
        case 0xED:
            leds = byte & 7
        case 0xF0:
            if byte == 0 {
                awaiting = 0
                link.reply([0xFA, scanSet], at: now)
                return
            }
            guard byte <= 3 else {
                link.reply([0xFE], at: now)  // the command still awaits a set
                return
            }
            scanSet = byte
            link.clearData()
        case 0xF3:
            repeatDelay = (UInt64(byte >> 5 & 3) + 1) * 250_000_000
            // Period = (8 + A) * 2^B * 4.17 ms.
            repeatPeriod = (8 + UInt64(byte & 7)) << UInt64(byte >> 3 & 3) * 4_170_000
        default:
            // FB–FD take codes of keys until the next command.
            if byte >= 0xED {
                awaiting = 0
                receive(byte, at: now)
                return
            }
            acknowledge(at: now)
            return
        }
        awaiting = 0
        acknowledge(at: now)
    }

    private mutating func acknowledge(at now: Nanoseconds) { link.reply([0xFA], at: now) }

    private mutating func setDefaults() {
        link.clearData()
        kinds = 0
        repeatDelay = 500_000_000
        repeatPeriod = 91_700_000
        stopRepeating()
        hidden = 0
        sysRq = false
        plainPrint = false
    }

    // MARK: Keys

    /// A key moves. Repeated presses and releases of a key that is not down are ignored: a real key cannot do that.
    mutating func key(_ key: PCKey, down: Bool, at now: Nanoseconds) {
        guard isDown(key) != down else { return }
        // Codes depend on the keys held before this one.
        let bytes = scanning ? (down ? makeCodes(key) : breakCodes(key)) : []
        let n = KeyboardCodes.index(key)
        held[n / 64] ^= 1 << UInt64(n % 64)
        if down {
            repeating = nil
            repeatTime = nil
            if scanning, isTypematic(key) {
                repeating = key
                repeatTime = now &+ repeatDelay
            }
        } else if repeating == key {
            stopRepeating()
        }
        enqueue(bytes, at: now)
    }

    private mutating func enqueue(_ bytes: [UInt8], at now: Nanoseconds) {
        guard !bytes.isEmpty else { return }
        if link.data.count + bytes.count > Self.bufferBytes {
            link.overrun(scanSet == 1 ? 0xFF : 0x00)
        } else {
            link.send(bytes, at: now)
        }
    }

    private mutating func stopRepeating() {
        repeating = nil
        repeatTime = nil
    }

    /// Typematic; called when `repeatTime` has come.
    mutating func tick(at now: Nanoseconds) {
        guard let due = repeatTime, now >= due else { return }
        guard let key = repeating, scanning else {
            stopRepeating()
            return
        }
        repeatTime = now &+ repeatPeriod
        // The guest lags behind: a repeat that nobody waits for would only fill the buffer.
        guard link.isEmpty else { return }
        enqueue(repeatCodes(key), at: now)
    }

    private func kind(_ key: PCKey) -> KeyboardCodes.Kind {
        switch kinds {
        case 0xF7: .typematic
        case 0xF8: .makeBreak
        case 0xF9: .makeOnly
        default: KeyboardCodes.set3Kind(key)
        }
    }

    private func isTypematic(_ key: PCKey) -> Bool {
        guard scanSet == 3 else { return key != .pause }
        return kinds == 0xFA || kind(key) == .typematic
    }

    private var ctrl: Bool { isDown(.leftCtrl) || isDown(.rightCtrl) }
    private var alt: Bool { isDown(.leftAlt) || isDown(.rightAlt) }
    private var shift: Bool { isDown(.leftShift) || isDown(.rightShift) }

    /// One make or break in the current set (1 or 2), without Shift tricks.
    private func plain(_ key: PCKey, down: Bool) -> [UInt8] {
        let n = KeyboardCodes.index(key)
        let prefix: [UInt8] = KeyboardCodes.isExtended(key) ? [0xE0] : []
        if scanSet == 1 { return prefix + [KeyboardCodes.set1[n] | (down ? 0 : 0x80)] }
        return prefix + (down ? [KeyboardCodes.set2[n]] : [0xF0, KeyboardCodes.set2[n]])
    }

    /// An E0-prefixed Shift that the keyboard makes up; `code` is the set 2 code, 0x12 or 0x59.
    private func fakeShift(_ code: UInt8, down: Bool) -> [UInt8] {
        if scanSet == 1 { return [0xE0, (code == 0x12 ? 0x2A : 0x36) | (down ? 0 : 0x80)] }
        return down ? [0xE0, code] : [0xE0, 0xF0, code]
    }

    private mutating func makeCodes(_ key: PCKey) -> [UInt8] {
        if scanSet == 3 { return [KeyboardCodes.set3[KeyboardCodes.index(key)]] }
        var bytes: [UInt8] = []
        if KeyboardCodes.isCursorKey(key) || key == .kpDivide {
            if hidden == 0 {
                let numLock = leds & 2 != 0 && key != .kpDivide
                if shift, !numLock {
                    hidden = isDown(.leftShift) ? 0x12 : 0x59
                    bytes = fakeShift(hidden, down: false)
                } else if !shift, numLock {
                    hidden = 0xFF
                    bytes = fakeShift(0x12, down: true)
                }
            }
            return bytes + plain(key, down: true)
        }
        bytes = unhide()
        switch key {
        case .pause: return bytes + pauseCodes()
        case .printScreen:
            sysRq = alt
            plainPrint = shift || ctrl
            if sysRq { return bytes + [scanSet == 1 ? KeyboardCodes.sysRqSet1 : KeyboardCodes.sysRqSet2] }
            return bytes + (plainPrint ? [] : fakeShift(0x12, down: true)) + plain(key, down: true)
        default: return bytes + plain(key, down: true)
        }
    }

    private mutating func breakCodes(_ key: PCKey) -> [UInt8] {
        if scanSet == 3 {
            let breaks = kinds == 0xF8 || kinds == 0xFA || kind(key) == .makeBreak
            return breaks ? [0xF0, KeyboardCodes.set3[KeyboardCodes.index(key)]] : []
        }
        switch key {
        case .pause: return []
        case .printScreen:
            if sysRq { return scanSet == 1 ? [KeyboardCodes.sysRqSet1 | 0x80] : [0xF0, KeyboardCodes.sysRqSet2] }
            return plain(key, down: false) + (plainPrint ? [] : fakeShift(0x12, down: false))
        case .leftShift, .rightShift:
            // The Shift that a cursor key hides is up for the guest already; it must not come back.
            if hidden == (key == .leftShift ? 0x12 : 0x59) { hidden = 0 }
            return plain(key, down: false)
        default:
            let bytes = plain(key, down: false)
            return KeyboardCodes.isCursorKey(key) || key == .kpDivide ? bytes + unhide() : bytes
        }
    }

    /// Restores the Shift state that a cursor key hid.
    private mutating func unhide() -> [UInt8] {
        defer { hidden = 0 }
        switch hidden {
        case 0: return []
        case 0xFF: return fakeShift(0x12, down: false)
        default: return fakeShift(hidden, down: true)
        }
    }

    private func repeatCodes(_ key: PCKey) -> [UInt8] {
        if scanSet == 3 { return [KeyboardCodes.set3[KeyboardCodes.index(key)]] }
        if key == .printScreen, sysRq { return [scanSet == 1 ? KeyboardCodes.sysRqSet1 : KeyboardCodes.sysRqSet2] }
        return plain(key, down: true)
    }

    /// Pause has no break; with Ctrl it is Break.
    private func pauseCodes() -> [UInt8] {
        if scanSet == 1 { return ctrl ? [0xE0, 0x46, 0xE0, 0xC6] : [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5] }
        return ctrl ? [0xE0, 0x7E, 0xE0, 0xF0, 0x7E] : [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77]
    }
}
