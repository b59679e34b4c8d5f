import Hardware

/// Keys by the names that QMP gives them (QKeyCode), and by the PC's scan codes.
enum QMPKeys {
    /// - Throws: when there is no such key on the guest's keyboard.
    static func key(_ value: JSONValue) throws(QMPError) -> PCKey {
        guard let type = value["type"]?.string else { throw .generic("A key needs 'type' and 'data'") }
        switch type {
        case "qcode":
            guard let name = value["data"]?.string else { throw .generic("A key of type 'qcode' needs a name in 'data'") }
            guard let key = key(named: name) else { throw .generic("Invalid parameter '\(name)'") }
            return key
        case "number":
            guard let number = value["data"]?.integer else { throw .generic("A key of type 'number' needs a scan code in 'data'") }
            guard let key = key(number: number) else { throw .generic("There is no key with the scan code \(number)") }
            return key
        default: throw .generic("Invalid parameter '\(type)'")
        }
    }

    static func key(named name: String) -> PCKey? { names[name] ?? KeyChord.key(name) }

    /// Set-1 scan code; those behind E0 with bit 7 set.
    static func key(number: Int64) -> PCKey? { byNumber[number] }

    /// Where QMP's names differ from ours; pairs of `name:case`.
    private static let names: [String: PCKey] = {
        let pairs = """
            shift:leftShift shift_r:rightShift alt:leftAlt alt_r:rightAlt ctrl:leftCtrl ctrl_r:rightCtrl meta_l:leftWin meta_r:rightWin \
            menu:menu compose:menu ret:enter kp_enter:kpEnter esc:esc minus:minus equal:equal backspace:backspace tab:tab \
            bracket_left:leftBracket bracket_right:rightBracket semicolon:semicolon apostrophe:quote grave_accent:grave \
            backslash:backslash comma:comma dot:period slash:slash asterisk:kpMultiply spc:space caps_lock:capsLock \
            num_lock:numLock scroll_lock:scrollLock kp_divide:kpDivide kp_multiply:kpMultiply kp_subtract:kpMinus kp_add:kpPlus \
            kp_decimal:kpPeriod kp_0:kp0 kp_1:kp1 kp_2:kp2 kp_3:kp3 kp_4:kp4 kp_5:kp5 kp_6:kp6 kp_7:kp7 kp_8:kp8 kp_9:kp9 less:iso102 \
            sysrq:printScreen print:printScreen home:home pgup:pageUp pgdn:pageDown end:end left:left up:up down:down right:right \
            insert:insert delete:delete pause:pause
            """
        var table: [String: PCKey] = [:]
        for pair in pairs.split(separator: " ") {
            let parts = pair.split(separator: ":")
            if parts.count == 2, let key = PCKey(rawValue: String(parts[1])) { table[String(parts[0])] = key }
        }
        return table
    }()

    /// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Keyboards", scan code set 1, in the order of the codes.
    private static let byNumber: [Int64: PCKey] = {
        let rows: [(first: Int64, keys: String)] = [
            (0x01, "esc digit1 digit2 digit3 digit4 digit5 digit6 digit7 digit8 digit9 digit0 minus equal backspace tab"),
            (0x10, "q w e r t y u i o p leftBracket rightBracket enter leftCtrl a s d f g h j k l semicolon quote grave leftShift backslash"),
            (0x2C, "z x c v b n m comma period slash rightShift kpMultiply leftAlt space capsLock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 numLock"),
            (0x46, "scrollLock kp7 kp8 kp9 kpMinus kp4 kp5 kp6 kpPlus kp1 kp2 kp3 kp0 kpPeriod"), (0x56, "iso102 f11 f12"),
            (0x9C, "kpEnter rightCtrl"), (0xB5, "kpDivide"), (0xB7, "printScreen rightAlt"), (0xC6, "pause home up pageUp"), (0xCB, "left"),
            (0xCD, "right"), (0xCF, "end down pageDown insert delete"), (0xDB, "leftWin rightWin menu"),
        ]
        var table: [Int64: PCKey] = [:]
        for row in rows {
            for (index, name) in row.keys.split(separator: " ").enumerated() { table[row.first + Int64(index)] = KeyChord.key(String(name)) }
        }
        return table
    }()
}

extension Bay {
    /// What QEMU calls the drive.
    var qemuName: String {
        switch self {
        case .floppyA: "floppy0"
        case .floppyB: "floppy1"
        case .ide0Master: "ide0-hd0"
        case .ide0Slave: "ide0-hd1"
        case .ide1Master: "ide1-cd0"
        case .ide1Slave: "ide1-hd1"
        case .virtio0, .virtio1, .virtio2, .virtio3, .virtio4, .virtio5, .virtio6, .virtio7: "virtio\(rawValue - Bay.virtio0.rawValue)"
        }
    }

    /// Drives whose media can be changed while the machine runs.
    var isRemovable: Bool { self == .floppyA || self == .floppyB || self == .ide1Master }

    /// By QEMU's name or by ours.
    static func named(_ name: String) -> Bay? { allCases.first { $0.qemuName == name || "\($0)" == name } }
}
