import Hardware
import Testing

@testable import Machine

@Suite("keyboard · chord names") struct KeyChordTests {
    @Test(
        "names are found whatever their case and spelling",
        arguments: [
            ("ctrl-alt-del", [PCKey.leftCtrl, .leftAlt, .delete]), ("F2", [.f2]), ("alt-F1", [.leftAlt, .f1]), ("Ctrl-C", [.leftCtrl, .c]),
            ("altgr-q", [.rightAlt, .q]), ("-", [.minus]), ("ctrl--", [.leftCtrl, .minus]), ("shift-1", [.leftShift, .digit1]),
            ("pgup", [.pageUp]), ("kp7", [.kp7]), ("alt-sysrq-b", [.leftAlt, .printScreen, .b]), ("leftCtrl-Esc", [.leftCtrl, .esc]),
        ])
    func known(name: String, keys: [PCKey]) throws { #expect(try KeyChord(name).keys == keys) }

    @Test(
        "unknown, empty and doubled names are refused",
        arguments: ["", "ctrl-alt-dle", "F13", "ctrl-ctrl", "--", "ctrl-alt-", "kp99", "a b"])
    func unknown(name: String) { #expect(throws: MachineError.self) { try KeyChord(name) } }

    @Test("a misspelt name gets the nearest one as a hint")
    func hint() {
        let error = #expect(throws: MachineError.self) { try KeyChord("ctrl-alt-delte") }
        #expect(error?.kind == .usage)
        #expect(error?.description.contains("did you mean 'delete'") == true)
    }

    @Test("every key of the keyboard has a name", arguments: PCKey.allCases)
    func complete(key: PCKey) throws { #expect(try KeyChord(key.rawValue).keys == [key]) }
}

@Suite("keyboard · typing") struct TypingQueueTests {
    private func events(_ queue: inout TypingQueue, capsLock: Bool = false) -> [TypingQueue.Event] {
        var time: UInt64 = 0
        var all: [TypingQueue.Event] = []
        while !queue.isEmpty {
            if let event = queue.take(now: time, ready: true, capsLock: capsLock) { all.append(event) }
            time += TypingQueue.gap
        }
        return all
    }

    @Test("a capital is the key between Shift down and Shift up")
    func shift() {
        var queue = TypingQueue()
        queue.append(text: "A")
        #expect(
            events(&queue) == [
                .init(key: .leftShift, down: true), .init(key: .a, down: true), .init(key: .a, down: false),
                .init(key: .leftShift, down: false),
            ])
    }

    @Test("Caps Lock turns Shift round for letters and for nothing else")
    func capsLock() {
        var queue = TypingQueue()
        queue.append(text: "aA!")
        let keys = events(&queue, capsLock: true).filter(\.down).map(\.key)
        #expect(keys == [.leftShift, .a, .a, .leftShift, .digit1])
    }

    @Test("nothing goes out before the guest is ready, or before the gap")
    func pace() {
        var queue = TypingQueue()
        queue.append(text: "xy")
        #expect(queue.take(now: 0, ready: false, capsLock: false) == nil)
        #expect(queue.take(now: 0, ready: true, capsLock: false) == .init(key: .x, down: true))
        #expect(queue.take(now: TypingQueue.gap - 1, ready: true, capsLock: false) == nil)
        #expect(queue.take(now: TypingQueue.gap, ready: true, capsLock: false) == .init(key: .x, down: false))
        #expect(queue.left == 1)
        #expect(queue.total == 2)
    }

    @Test("clearing in the middle of a chord says which keys are still down, last first")
    func clear() throws {
        var queue = TypingQueue()
        queue.append(chord: try KeyChord("ctrl-alt-del"))
        _ = queue.take(now: 0, ready: true, capsLock: false)
        _ = queue.take(now: TypingQueue.gap, ready: true, capsLock: false)
        #expect(queue.clear() == [.leftAlt, .leftCtrl])
        #expect(queue.isEmpty)
    }

    @Test("characters that the layout has not got are left out and remembered")
    func untypable() {
        var queue = TypingQueue()
        queue.append(text: "aéb")
        #expect(events(&queue).filter(\.down).map(\.key) == [.a, .b])
        #expect(queue.untypable == ["é"])
    }

    @Test("every printable ASCII character is on the US layout, on a key of its own level")
    func complete() {
        var seen: Set<String> = []
        for code in UInt8(0x20)...0x7E {
            let stroke = KeyboardLayout.us.keystroke(for: Character(Unicode.Scalar(code)))
            #expect(stroke != nil, "\(Character(Unicode.Scalar(code)))")
            if let stroke { seen.insert("\(stroke.key) \(stroke.shift)") }
        }
        #expect(seen.count == 95)
    }

    @Test("Enter, Tab and Escape are keys", arguments: [("\n", PCKey.enter), ("\t", .tab), ("\u{1B}", .esc), ("\r\n", .enter)])
    func controls(text: String, key: PCKey) {
        var queue = TypingQueue()
        queue.append(text: text)
        #expect(events(&queue) == [.init(key: key, down: true), .init(key: key, down: false)])
    }
}
