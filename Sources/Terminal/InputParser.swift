/// Bytes from the terminal to events: keys in every protocol, pastes, mouse, focus, replies.
///
/// Source: ECMA-48 (control sequences); *XTerm Control Sequences* (modifyOtherKeys, SGR mouse, focus, bracketed paste); kitty
/// *Comprehensive keyboard handling in terminals* (`CSI u`); Microsoft terminal specification #4999 (win32-input-mode).
///
/// A value that any split of the bytes leaves with the same events. Only a lone ESC depends on time: the owner calls `expire()`
/// when `timeoutMilliseconds` have passed without a byte. All buffers are bounded.
public struct InputParser: Sendable {
    enum State: Equatable {
        case ground, escape, csi, ss3, linux
        /// DCS, OSC, APC: until ST (or BEL). Terminals send no PM and SOS; those are Alt with a character.
        case string(UInt8), stringEscape(UInt8)
        case utf8(Int), paste
    }

    /// How long a lone ESC waits for a following byte.
    public var escapeMilliseconds = 25
    /// Byte 0x08 is the Backspace key here (the terminal's erase character), not Ctrl-H.
    public var backspaceIsControlH = false
    /// Pastes longer than this are cut.
    public static let pasteLimit = 1 << 20

    var state = State.ground
    var buffer: [UInt8] = []
    var events: [InputEvent] = []
    /// The next key had an ESC before it.
    var alt = false

    public init() {}

    /// How long to wait for the rest of what has begun; nil when nothing has.
    public var timeoutMilliseconds: Int? {
        switch state {
        case .ground: nil
        case .escape, .ss3: escapeMilliseconds
        case .csi, .linux: buffer.isEmpty ? escapeMilliseconds : 250
        case .utf8: 100
        case .string, .stringEscape: buffer.isEmpty ? 100 : 1000
        case .paste: 2000
        }
    }

    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [InputEvent] {
        for byte in bytes { take(byte) }
        return drain()
    }

    /// The wait is over: a begun sequence is what its bytes say on their own, or nothing.
    public mutating func expire() -> [InputEvent] {
        switch state {
        case .ground: break
        case .escape: key(.named(.esc), alt ? .alt : [])
        case .csi where buffer.isEmpty, .linux: key(.character("["), .alt)
        case .ss3 where buffer.isEmpty: key(.character("O"), .alt)
        case .paste: events.append(.paste(String(decoding: buffer, as: UTF8.self)))
        case .string(let kind) where buffer.isEmpty: key(.character(Unicode.Scalar(kind)), .alt)
        case .csi, .ss3, .string, .stringEscape, .utf8: break
        }
        reset()
        return drain()
    }

    private mutating func drain() -> [InputEvent] {
        defer { events.removeAll(keepingCapacity: true) }
        return events
    }

    mutating func reset() {
        state = .ground
        buffer.removeAll(keepingCapacity: true)
        alt = false
    }

    mutating func key(_ key: Key, _ modifiers: Modifiers = []) { events.append(.key(KeyEvent(key, modifiers))) }

    private mutating func take(_ byte: UInt8) {
        switch state {
        case .ground: ground(byte)
        case .escape: escape(byte)
        case .csi: csi(byte)
        case .ss3: ss3(byte)
        case .linux:
            // Linux console: ESC [ [ A to E are F1 to F5.
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "E") {
                key(.named(NamedKey.functionKeys[Int(byte - UInt8(ascii: "A"))]), alt ? .alt : [])
            }
            reset()
        case .string(let kind):
            switch byte {
            case 0x1B: state = .stringEscape(kind)
            case 0x07 where kind == UInt8(ascii: "]"): finishString(kind)
            case 0x18, 0x1A: reset()
            default: if buffer.count < 4096 { buffer.append(byte) }
            }
        case .stringEscape(let kind):
            if byte == UInt8(ascii: "\\") {
                finishString(kind)
            } else {
                reset()
                state = .escape
                escape(byte)
            }
        case .utf8(let missing): continuation(byte, missing)
        case .paste: paste(byte)
        }
    }

    private mutating func ground(_ byte: UInt8) {
        switch byte {
        case 0x1B:
            state = .escape
            return
        case 0x0D, 0x0A: key(.named(.ret), alt ? .alt : [])
        case 0x09: key(.named(.tab), alt ? .alt : [])
        case 0x7F: key(.named(.bs), alt ? .alt : [])
        case 0x08 where backspaceIsControlH: key(.named(.bs), alt ? .alt : [])
        case 0x00: key(.character(" "), alt ? [.ctrl, .alt] : .ctrl)
        case 0x01...0x1A: key(.character(Unicode.Scalar(byte + 0x60)), alt ? [.ctrl, .alt] : .ctrl)
        case 0x1C...0x1F: key(.character(Unicode.Scalar(byte + 0x40)), alt ? [.ctrl, .alt] : .ctrl)
        case 0x20...0x7E: key(.character(Unicode.Scalar(byte)), alt ? .alt : [])
        case 0xC2...0xDF: return begin(byte, 1)
        case 0xE0...0xEF: return begin(byte, 2)
        case 0xF0...0xF4: return begin(byte, 3)
        default: break
        }
        alt = false
    }

    private mutating func begin(_ byte: UInt8, _ missing: Int) {
        buffer = [byte]
        state = .utf8(missing)
    }

    private mutating func continuation(_ byte: UInt8, _ missing: Int) {
        guard byte & 0xC0 == 0x80 else {
            reset()
            return take(byte)
        }
        buffer.append(byte)
        if missing > 1 {
            state = .utf8(missing - 1)
            return
        }
        let text = String(decoding: buffer, as: UTF8.self)
        let wasAlt = alt
        reset()
        if let scalar = text.unicodeScalars.first, scalar != "\u{FFFD}" { key(.character(scalar), wasAlt ? .alt : []) }
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "["):
            state = .csi
        case UInt8(ascii: "O"):
            state = .ss3
        case UInt8(ascii: "P"), UInt8(ascii: "]"), UInt8(ascii: "_"):
            state = .string(byte)
        case 0x1B:
            // ESC ESC: the first was the key; the second may begin a sequence.
            key(.named(.esc))
        default:
            state = .ground
            alt = true
            ground(byte)
        }
    }

    private mutating func csi(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "[") where buffer.isEmpty: state = .linux
        case 0x20...0x3F: if buffer.count < 256 { buffer.append(byte) }
        case 0x40...0x7E:
            let body = buffer
            buffer.removeAll(keepingCapacity: true)
            state = .ground
            control(body, final: byte)
            alt = false
        case 0x1B:
            reset()
            state = .escape
        default: reset()
        }
    }

    private mutating func ss3(_ byte: UInt8) {
        switch byte {
        case 0x30...0x39 where buffer.count < 3: buffer.append(byte)
        case 0x1B:
            key(.character("O"), .alt)
            reset()
            state = .escape
        default:
            if let name = KeyCodes.application(byte) {
                let mask = Int(String(decoding: buffer, as: UTF8.self)) ?? 1
                key(.named(name), modifiers(mask).union(alt ? .alt : []))
            } else if buffer.isEmpty {
                key(.character("O"), .alt)
                reset()
                return take(byte)
            }
            reset()
        }
    }

    private mutating func paste(_ byte: UInt8) {
        buffer.append(byte)
        let end: [UInt8] = [0x1B, 0x5B, 0x32, 0x30, 0x31, 0x7E]
        if byte == 0x7E, buffer.count >= end.count, buffer[(buffer.count - end.count)...].elementsEqual(end) {
            buffer.removeLast(end.count)
            let text = String(decoding: buffer.prefix(InputParser.pasteLimit), as: UTF8.self)
            reset()
            events.append(.paste(text))
        } else if buffer.count > InputParser.pasteLimit + end.count {
            // Keep the tail, where the end mark may be arriving; what is over the limit is lost.
            buffer.remove(at: InputParser.pasteLimit)
        }
    }

    private mutating func finishString(_ kind: UInt8) {
        let body = buffer
        reset()
        if kind == UInt8(ascii: "P"), body.starts(with: [0x3E, 0x7C]) {
            events.append(.reply(.version(String(decoding: body.dropFirst(2).prefix(80), as: UTF8.self))))
        } else {
            events.append(.reply(.other))
        }
    }

    /// A mask as on the wire, 1 + bits.
    func modifiers(_ mask: Int) -> Modifiers { mask > 1 && mask <= 256 ? Modifiers(rawValue: UInt8(mask - 1)) : [] }
}
