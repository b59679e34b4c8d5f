import CPU
import Primitives

/// What the host side may do to the board between two runs, and see of it.
extension PC {
    // MARK: Input

    /// A call from outside, at the time that it is there.
    private func arrive<D: Device, R>(_ position: Int, _ type: D.Type, _ body: (inout D, inout Wires) -> R) -> R {
        passHostTime()
        return call(position, type, body)
    }

    public func key(_ key: PCKey, down: Bool) { arrive(place.keyboard, KeyboardController.self) { $0.key(key, down: down, &$1) } }

    public func releaseAllKeys() { arrive(place.keyboard, KeyboardController.self) { $0.releaseAllKeys(&$1) } }

    /// Counts to the right and downwards, wheel clicks towards the user; buttons bit 0 left, 1 right, 2 middle.
    public func mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int) {
        arrive(place.keyboard, KeyboardController.self) { $0.mouse(dx: dx, dy: dy, buttons: buttons, wheel: wheel, &$1) }
    }

    /// Bytes into COM `n` (0 = COM1). Returns how many were taken; 0 when there is no such port.
    public func serialInput(_ n: Int, _ bytes: [UInt8]) -> Int {
        guard place.serial.indices.contains(n) else { return 0 }
        return arrive(place.serial[n], UART.self) { $0.receive(bytes, &$1) }
    }

    /// Bytes into the virtio console. Returns how many were taken; 0 when there is none.
    public func consoleInput(_ bytes: [UInt8]) -> Int {
        guard let position = place.console else { return 0 }
        return arrive(position, VirtioConsole.self) { $0.receive(bytes, &$1) }
    }

    /// Random bytes of the host that the guest waits for; 0: none. They are an input like any other.
    public var entropyWanted: Int { place.entropy.map { chip($0, VirtioRNG.self) { $0.wanted } } ?? 0 }

    public func entropyInput(_ bytes: [UInt8]) {
        if let position = place.entropy { arrive(position, VirtioRNG.self) { $0.supply(bytes, &$1) } }
    }

    /// How much memory the guest should give back, in MiB. False: there is no balloon.
    @discardableResult
    public func setBalloon(mib: Int) -> Bool {
        guard let position = place.balloon else { return false }
        arrive(position, VirtioBalloon.self) { $0.setTarget(pages: UInt32(clamping: max(mib, 0)) &<< 8, &$1) }
        return true
    }

    /// The ACPI power button, pressed and released.
    public func powerButton() { arrive(place.pm, PowerManagement.self) { $0.pressPowerButton(&$1) } }

    /// The ACPI sleep button.
    public func sleepButton() { arrive(place.pm, PowerManagement.self) { $0.pressSleepButton(&$1) } }

    /// Media in the bays. Before the first instruction they also decide which drives are fitted and what CMOS RAM says of them.
    public var media: MediaBays {
        get { wires.media }
        set {
            wires.media = newValue
            guard retired == 0 else { return }
            chip(place.ide, IDE.self) { $0 = IDE(drives: IDE.drives(for: newValue)) }
            writeCMOS()
            refreshDeadlines()
        }
    }

    /// Another way to the same medium: the guest does not notice.
    public func replace(_ bay: Bay, with medium: (any Medium)?) { wires.media.replace(bay, with: medium) }

    // MARK: Output

    /// Who is told what the board does. Set before the first instruction.
    public var tap: BoardTap? {
        get { wires.tap }
        set { wires.tap = newValue }
    }

    /// Between two slices: lines that scrolled off a screen which has come to rest are in the tap.
    /// - Parameter halted: the guest sleeps, so nothing is half done.
    public func settleText(halted: Bool) {
        guard let tap = wires.tap else { return }
        chip(place.vga, VGA.self) { $0.settleText(tap, memory, halted: halted) }
    }

    /// The registers of all processors, for people.
    public var registers: String {
        engines.enumerated().compactMap { number, engine in
            (engine as? Processor).map { "CPU#\(number)\n" + PC.text(of: $0.state) }
        }.joined(separator: "\n")
    }

    /// Of all processors together.
    public var census: Census { Census.sum(engines.map(\.census)) }

    private static func text(of state: VCPU) -> String {
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        let names = ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15"]
        var text = ""
        for (number, name) in names.enumerated() {
            text += "\(name)=\(hex(state.gpr[number], 16))\(number % 4 == 3 ? "\n" : " ")"
        }
        text += "RIP=\(hex(state.rip, 16)) CR0=\(hex(UInt64(state.cr0), 8)) CR2=\(hex(state.cr2, 16)) CR3=\(hex(state.cr3, 16))"
        text += " CR4=\(hex(UInt64(state.cr4), 8))\n"
        for (index, name) in ["ES", "CS", "SS", "DS", "FS", "GS"].enumerated() {
            let segment = state.seg[index]
            text += "\(name) =\(hex(UInt64(segment.selector), 4)) base=\(hex(UInt64(segment.base), 16)) limit=\(hex(UInt64(segment.limit), 8))\n"
        }
        return text
    }

    /// CS and the offset of the next instruction, hexadecimal, for reports.
    public var position: String {
        guard let state = processor?.state else { return "" }
        return "\(String(state.seg[Seg.cs].selector, radix: 16)):\(String(state.rip, radix: 16))"
    }

    /// What the guest wrote to serial ports, printer and debug consoles since the last call, in order.
    public func drainOutput() -> [(HostStream, [UInt8])] {
        defer {
            output.removeAll(keepingCapacity: true)
            outputBytes = 0
        }
        return output
    }

    /// Something waits for `drainOutput`.
    public var hasOutput: Bool { !output.isEmpty }

    public func textFrame() -> TextFrame { chip(place.vga, VGA.self) { $0.textFrame(memory: memory) } }

    /// The display as a picture; nil when it is off.
    public func pixels() -> PixelFrame? { chip(place.vga, VGA.self) { $0.pixels(memory: memory) } }

    /// Bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    public var keyboardLEDs: UInt8 { chip(place.keyboard, KeyboardController.self) { $0.leds } }

    /// The guest listens to the keyboard and has taken every byte of it: the next key is not lost.
    public var typingReady: Bool {
        chip(place.keyboard, KeyboardController.self) { $0.keyboardQueueIsEmpty && $0.keyboardEnabled }
    }

    public var mouseWanted: Bool { chip(place.keyboard, KeyboardController.self) { $0.mouseEnabled } }
}
