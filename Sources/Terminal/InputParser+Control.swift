extension InputParser {
    /// One control sequence: `body` is what stands between CSI and the final byte.
    mutating func control(_ body: [UInt8], final: UInt8) {
        let mark = body.first.flatMap { $0 >= 0x3C && $0 <= 0x3F ? $0 : nil }
        // Intermediate bytes (0x20–0x2F) end the parameters.
        let tail = body.drop { $0 >= 0x30 }
        let parameters = fields(body.dropFirst(mark == nil ? 0 : 1).prefix { $0 >= 0x30 })
        switch (mark, final) {
        case (UInt8(ascii: "?"), _): privateReply(parameters, tail: Array(tail), final: final)
        case (UInt8(ascii: "<"), UInt8(ascii: "M")), (UInt8(ascii: "<"), UInt8(ascii: "m")): mouse(parameters, final: final)
        case (.some, _): events.append(.reply(.other))
        case (nil, UInt8(ascii: "~")): tilde(parameters)
        case (nil, UInt8(ascii: "u")): unicode(parameters)
        case (nil, UInt8(ascii: "_")): win32(parameters)
        case (nil, UInt8(ascii: "I")) where body.isEmpty: events.append(.focus(true))
        case (nil, UInt8(ascii: "O")) where body.isEmpty: events.append(.focus(false))
        case (nil, UInt8(ascii: "Z")): key(.named(.tab), modifiers(value(parameters, 1) ?? 1).union(.shift))
        case (nil, UInt8(ascii: "n")): events.append(.reply(value(parameters, 0) == 0 ? .ready : .other))
        case (nil, _):
            guard let name = KeyCodes.letter(final), (value(parameters, 0) ?? 1) == 1 else { return events.append(.reply(.other)) }
            modified(.named(name), parameters)
        }
    }

    /// Parameters by `;`, sub-parameters by `:`; an empty one is nil.
    private func fields(_ bytes: ArraySlice<UInt8>) -> [[Int?]] {
        bytes.split(separator: UInt8(ascii: ";"), maxSplits: 31, omittingEmptySubsequences: false).map { field in
            field.split(separator: UInt8(ascii: ":"), maxSplits: 31, omittingEmptySubsequences: false).map { digits in
                digits.count > 7 ? nil : Int(String(decoding: digits, as: UTF8.self))
            }
        }
    }

    private func value(_ parameters: [[Int?]], _ index: Int, _ sub: Int = 0) -> Int? {
        index < parameters.count && sub < parameters[index].count ? parameters[index][sub] : nil
    }

    private func kind(_ type: Int?) -> KeyEvent.Kind { type == 3 ? .release : type == 2 ? .repeat : .press }

    /// A key with `modifiers:type` in the second parameter.
    private mutating func modified(_ key: Key, _ parameters: [[Int?]]) {
        let held = modifiers(value(parameters, 1) ?? 1).union(alt ? .alt : [])
        events.append(.key(KeyEvent(key, held, kind(value(parameters, 1, 1)))))
    }

    private mutating func tilde(_ parameters: [[Int?]]) {
        switch value(parameters, 0) {
        case 200:
            state = .paste
        case 201: break
        case 27:
            // xterm modifyOtherKeys: CSI 27 ; modifiers ; character ~
            guard let code = value(parameters, 2), let key = KeyCodes.kitty(code) else { return }
            events.append(.key(KeyEvent(key, modifiers(value(parameters, 1) ?? 1).union(alt ? .alt : []))))
        case let code?:
            guard let name = KeyCodes.tilde(code) else { return events.append(.reply(.other)) }
            modified(.named(name), parameters)
        case nil: break
        }
    }

    /// `CSI code:shifted:base ; modifiers:type ; text:text… u`
    private mutating func unicode(_ parameters: [[Int?]]) {
        guard let code = value(parameters, 0) else { return }
        let scalar = { (n: Int?) -> Unicode.Scalar? in n.flatMap { UInt32(exactly: $0) }.flatMap { Unicode.Scalar($0) } }
        var text: String?
        if parameters.count > 2 {
            let scalars = parameters[2].compactMap { scalar($0) }
            if !scalars.isEmpty {
                var view = String.UnicodeScalarView()
                view.append(contentsOf: scalars)
                text = String(view)
            }
        }
        // Composed text has no key: one event for each character.
        if code == 0 {
            for scalar in (text ?? "").unicodeScalars where Width.of(scalar) > 0 {
                events.append(.key(KeyEvent(.character(scalar), [], kind(value(parameters, 1, 1)), text: String(scalar))))
            }
            return
        }
        guard let key = KeyCodes.kitty(code) else { return }
        events.append(
            .key(
                KeyEvent(
                    key, modifiers(value(parameters, 1) ?? 1).union(alt ? .alt : []), kind(value(parameters, 1, 1)),
                    shifted: scalar(value(parameters, 0, 1)), base: scalar(value(parameters, 0, 2)), text: text)))
    }

    /// win32-input-mode: `CSI Vk ; Sc ; Uc ; Kd ; Cs ; Rc _`, the fields of KEY_EVENT_RECORD.
    private mutating func win32(_ parameters: [[Int?]]) {
        let vk = value(parameters, 0) ?? 0, sc = value(parameters, 1) ?? 0, uc = value(parameters, 2) ?? 0
        let down = (value(parameters, 3) ?? 0) != 0, control = value(parameters, 4) ?? 0
        let enhanced = control & 0x100 != 0
        var held: Modifiers = []
        // AltGr reports as right Alt with left Ctrl; the character it made says the rest.
        let altGr = control & 0x01 != 0 && control & 0x08 != 0 && uc > 0x20
        if control & 0x03 != 0, !altGr { held.insert(.alt) }
        if control & 0x0C != 0, !altGr { held.insert(.ctrl) }
        if control & 0x10 != 0 { held.insert(.shift) }
        if control & 0x20 != 0 { held.insert(.numLock) }
        if control & 0x80 != 0 { held.insert(.capsLock) }
        let key: Key
        if let name = KeyCodes.virtualKey(vk, enhanced: enhanced) {
            key = .named(vk == 0x10 && sc == 0x36 ? .rightShift : name)
        } else if uc >= 0x20, let scalar = UInt32(exactly: uc).flatMap({ Unicode.Scalar($0) }) {
            key = .character(scalar)
        } else if vk >= 0x30, vk <= 0x5A, let scalar = Unicode.Scalar(UInt32(vk)) {
            // Ctrl chords carry a control code; the virtual key names the letter.
            key = .character(scalar.properties.lowercaseMapping.unicodeScalars.first ?? scalar)
        } else if let oem = [
            0xBA: ";", 0xBB: "=", 0xBC: ",", 0xBD: "-", 0xBE: ".", 0xBF: "/", 0xC0: "`", 0xDB: "[", 0xDC: "\\",
            0xDD: "]", 0xDE: "'",
        ][vk] as Unicode.Scalar? {
            key = .character(oem)
        } else {
            key = .named(.other)
        }
        let scan = sc > 0 && sc < 0x80 ? UInt16(sc) | (enhanced ? 0xE000 : 0) : nil
        let text = uc >= 0x20 ? UInt32(exactly: uc).flatMap { Unicode.Scalar($0) }.map { String($0) } : nil
        events.append(.key(KeyEvent(key, held, down ? .press : .release, text: text, scanCode: scan)))
    }

    /// SGR mouse: `CSI < b ; x ; y M` press or motion, `m` release; bits 2–4 modifiers, bit 5 motion, bit 6 wheel.
    private mutating func mouse(_ parameters: [[Int?]], final: UInt8) {
        guard let b = value(parameters, 0), let x = value(parameters, 1), let y = value(parameters, 2), b < 256, x >= 1, y >= 1,
            x <= 65535, y <= 65535
        else { return }
        var held: Modifiers = []
        if b & 4 != 0 { held.insert(.shift) }
        if b & 8 != 0 { held.insert(.alt) }
        if b & 16 != 0 { held.insert(.ctrl) }
        let kind: MouseEvent.Kind
        if b & 128 != 0 {
            return
        } else if b & 64 != 0 {
            guard b & 3 < 2 else { return }
            kind = b & 1 == 0 ? .wheelUp : .wheelDown
        } else if b & 32 != 0 {
            kind = .move
        } else {
            kind = final == UInt8(ascii: "M") ? .press : .release
        }
        events.append(.mouse(MouseEvent(kind, button: b & 3, column: x - 1, row: y - 1, modifiers: held)))
    }

    private mutating func privateReply(_ parameters: [[Int?]], tail: [UInt8], final: UInt8) {
        switch (final, tail) {
        case (UInt8(ascii: "c"), []): events.append(.reply(.deviceAttributes(parameters.compactMap { $0.first ?? nil })))
        case (UInt8(ascii: "u"), []): events.append(.reply(.keyboardFlags(value(parameters, 0) ?? 0)))
        case (UInt8(ascii: "y"), [UInt8(ascii: "$")]):
            events.append(.reply(.mode(value(parameters, 0) ?? 0, value(parameters, 1) ?? 0)))
        default: events.append(.reply(.other))
        }
    }
}
