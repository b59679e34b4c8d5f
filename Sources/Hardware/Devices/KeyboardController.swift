import Primitives

/// Intel 8042 keyboard controller with the PS/2 firmware, its keyboard and its mouse.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference – Common Interfaces* (1990), "Keyboard and Auxiliary Device Controller";
/// IBM *PC/AT Technical Reference* (1984), "Keyboard Controller"; Intel *82371FB/82371SB* data sheet (order 290550), "Keyboard".
///
///     port  R/W  register
///     0x60   R   output buffer
///            W   parameter of a command, else a byte for the keyboard
///     0x64   R   status: 0 output full, 1 input full (never seen), 2 self-test passed, 3 last write was a command,
///                4 not locked, 5 output is the mouse's, 6 time-out, 7 parity
///            W   command: 20–3F read RAM, 60–7F write RAM, A4 password?, A7/A8 mouse off/on, A9 test mouse line, AA self-test,
///                AB test keyboard line, AD/AE keyboard off/on, C0 input port, D0/D1 output port, D2/D3 write output buffer as
///                keyboard or mouse, D4 write to mouse, DD/DF A20 off/on, E0 test inputs, F0–FF pulse output port
///
/// Lines: IRQ1 and IRQ12 are high while a byte of the keyboard (or the controller), or of the mouse, is in the output buffer and
/// the command byte enables them. Bytes of the devices arrive by deadline, see `PS2Link`; answers of the controller are there at
/// once when the buffer is free.
///
/// Not implemented: password security (A5, A6), C1/C2 polling, AC diagnostic dump, time-out and parity errors.
public struct KeyboardController: Device {
    public static let name = "i8042"

    public private(set) var keyboard = Keyboard()
    public private(set) var mouse = Mouse()
    /// Controller RAM, 32 bytes; byte 0 is the command byte.
    public private(set) var ram = [UInt8](repeating: 0, count: 32)
    /// Output buffer; stays readable after it was read.
    public private(set) var output: UInt8 = 0
    public private(set) var outputFull = false, outputIsMouse = false
    public private(set) var selfTestPassed = false
    public private(set) var lastWriteWasCommand = false
    /// Command whose parameter the next write to port 0x60 is; 0 = none.
    public private(set) var awaiting: UInt8 = 0
    /// Output port P2: bit 0 not reset, bit 1 A20. The others follow the buffer.
    public private(set) var outputPort: UInt8 = 0b1100_1111
    /// Answers waiting for the output buffer; `answerIsMouse` beside each.
    private var answers: [UInt8] = []
    private var answerIsMouse: [Bool] = []
    /// Earliest time of the next answer: the line must be seen low in between.
    private var answerTime: Nanoseconds = 0
    /// The translator has seen F0 and turns the next code into a break.
    private var breakNext = false
    public private(set) var deadline: Nanoseconds?

    public init() { ram[0] = Command.powerOn }

    public var ports: [ClosedRange<Port>] { [0x60...0x60, 0x64...0x64] }

    /// The controller and its devices start afresh; keys that are down stay down, but will not be heard going up.
    public mutating func reset() { self = KeyboardController() }

    // MARK: What the board and the front end use

    public mutating func key(_ key: PCKey, down: Bool, _ wires: inout Wires) {
        keyboard.tick(at: wires.now)
        keyboard.key(key, down: down, at: wires.now)
        settle(&wires)
    }

    /// All keys that are down go up, modifiers last.
    public mutating func releaseAllKeys(_ wires: inout Wires) {
        for key in PCKey.allCases.reversed() where !Self.modifiers.contains(key) { keyboard.key(key, down: false, at: wires.now) }
        for key in Self.modifiers { keyboard.key(key, down: false, at: wires.now) }
        settle(&wires)
    }

    /// Counts to the right and downwards, wheel clicks towards the user; buttons bit 0 left, 1 right, 2 middle, 3 and 4 the sides.
    public mutating func mouse(dx: Int, dy: Int, buttons: UInt8, wheel: Int, _ wires: inout Wires) {
        mouse.move(dx: dx, dy: dy, buttons: buttons, wheel: wheel, at: wires.now)
        settle(&wires)
    }

    /// Lights: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    public var leds: UInt8 { keyboard.leds }

    /// The guest has taken every byte of the keyboard: the next key cannot be lost.
    public var keyboardQueueIsEmpty: Bool { keyboard.link.isEmpty && !(outputFull && !outputIsMouse) && answers.isEmpty }

    /// The guest listens to the keyboard: scanning is on and the line is not switched off.
    public var keyboardEnabled: Bool { keyboard.scanning && ram[0] & Command.keyboardOff == 0 }

    /// The guest wants to hear of the mouse.
    public var mouseEnabled: Bool { (mouse.reporting || mouse.remote) && ram[0] & Command.mouseOff == 0 }

    /// Another chip moved A20; the output port shows the line.
    public mutating func a20Changed(_ enabled: Bool) { outputPort = outputPort & ~0b10 | (enabled ? 0b10 : 0) }

    private static let modifiers: [PCKey] = [.leftShift, .rightShift, .leftCtrl, .rightCtrl, .leftAlt, .rightAlt, .leftWin, .rightWin]

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        switch port {
        case 0x60:
            if outputFull {
                wires.trace(.kbd, .controllerRead, size: outputIsMouse ? 1 : 0, value: UInt64(output))
                outputFull = false
                keyboard.link.lineBusy(at: wires.now)
                mouse.link.lineBusy(at: wires.now)
                if !answers.isEmpty { answerTime = wires.now &+ Self.answerGap }
                settle(&wires)
            }
            return output
        case 0x64: return status
        default: return 0xFF
        }
    }

    private var status: UInt8 {
        (outputFull ? Status.outputFull : 0) | (selfTestPassed ? Status.selfTest : 0) | (lastWriteWasCommand ? Status.command : 0)
            | Status.notLocked | (outputFull && outputIsMouse ? Status.mouse : 0)
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port {
        case 0x60:
            lastWriteWasCommand = false
            wires.trace(.kbd, .controllerData, value: UInt64(value))
            writeData(value, &wires)
        case 0x64:
            lastWriteWasCommand = true
            wires.trace(.kbd, .controllerCommand, value: UInt64(value))
            awaiting = 0
            writeCommand(value, &wires)
        default: return
        }
        settle(&wires)
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case 0x60: output
        case 0x64: status
        default: 0xFF
        }
    }

    private mutating func writeCommand(_ command: UInt8, _ wires: inout Wires) {
        switch command {
        case 0x20...0x3F: answer(ram[Int(command & 0x1F)])
        case 0x60...0x7F, 0xD1...0xD4: awaiting = command
        case 0xA4: answer(0xF1)  // no password
        case 0xA7: ram[0] |= Command.mouseOff
        case 0xA8: ram[0] &= ~Command.mouseOff
        case 0xA9, 0xAB: answer(0x00)  // no error on the line
        case 0xAA:
            selfTestPassed = true
            ram[0] |= Command.systemFlag
            answer(0x55)
        case 0xAD: ram[0] |= Command.keyboardOff
        case 0xAE: ram[0] &= ~Command.keyboardOff
        case 0xC0: answer(0b1011_0000)  // not locked, colour display, no manufacturing jumper
        case 0xD0:
            answer(outputPort & 0b1100_1111 | (outputFull && !outputIsMouse ? 0x10 : 0) | (outputFull && outputIsMouse ? 0x20 : 0))
        case 0xDD, 0xDF: setOutputPort(outputPort & ~0b10 | command & 0b10, &wires)
        case 0xE0: answer((ram[0] & Command.keyboardOff == 0 ? 1 : 0) | (ram[0] & Command.mouseOff == 0 ? 2 : 0))
        case 0xF0...0xFF:
            // Bits that are 0 pulse low; bit 0 is the vCPU's reset.
            if command & 1 == 0 { wires.request(.reset(cpuOnly: true)) }
        default: break
        }
    }

    private mutating func writeData(_ value: UInt8, _ wires: inout Wires) {
        let command = awaiting
        awaiting = 0
        switch command {
        case 0x60:
            ram[0] = value
            selfTestPassed = value & Command.systemFlag != 0
        case 0x61...0x7F: ram[Int(command & 0x1F)] = value
        case 0xD1: setOutputPort(value, &wires)
        case 0xD2: answer(value)
        case 0xD3: answer(value, mouse: true)
        case 0xD4:
            ram[0] &= ~Command.mouseOff  // a byte on the line needs its clock
            mouse.receive(value, at: wires.now)
        default:
            ram[0] &= ~Command.keyboardOff
            keyboard.receive(value, at: wires.now)
        }
    }

    private mutating func setOutputPort(_ value: UInt8, _ wires: inout Wires) {
        let resets = value & 1 == 0
        outputPort = value | 1
        wires.request(.setA20(value & 0b10 != 0))
        if resets { wires.request(.reset(cpuOnly: true)) }
    }

    private mutating func answer(_ value: UInt8, mouse: Bool = false) {
        // A guest that asks on and on without reading keeps the last answers only.
        if answers.count >= 16 {
            answers.removeFirst()
            answerIsMouse.removeFirst()
        }
        answers.append(value)
        answerIsMouse.append(mouse)
    }

    // MARK: Time

    public mutating func fire(_ wires: inout Wires) { settle(&wires) }

    /// Lets everything happen that is due, drives the lines and finds the next deadline.
    private mutating func settle(_ wires: inout Wires) {
        let now = wires.now
        keyboard.tick(at: now)
        mouse.tick(at: now)
        if !outputFull { fill(now) }
        wires.set(irq: 1, outputFull && !outputIsMouse && ram[0] & Command.keyboardInterrupt != 0)
        wires.set(irq: 12, outputFull && outputIsMouse && ram[0] & Command.mouseInterrupt != 0)
        schedule()
    }

    private mutating func fill(_ now: Nanoseconds) {
        if !answers.isEmpty {
            guard answerTime <= now else { return }
            load(answers.removeFirst(), mouse: answerIsMouse.isEmpty ? false : answerIsMouse.removeFirst())
            return
        }
        while keyboardReady(now), let byte = keyboard.link.take() {
            if let code = translated(byte) {
                load(code, mouse: false)
                return
            }
        }
        if mouseReady(now), let byte = mouse.link.take() { load(byte, mouse: true) }
    }

    private mutating func load(_ byte: UInt8, mouse: Bool) {
        output = byte
        outputFull = true
        outputIsMouse = mouse
    }

    private func keyboardReady(_ now: Nanoseconds) -> Bool {
        guard ram[0] & Command.keyboardOff == 0, let time = keyboard.link.nextTime else { return false }
        return time <= now
    }

    private func mouseReady(_ now: Nanoseconds) -> Bool {
        guard ram[0] & Command.mouseOff == 0, let time = mouse.link.nextTime else { return false }
        return time <= now
    }

    /// Set 2 to set 1 when the command byte asks for it; nil swallows the break prefix.
    private mutating func translated(_ byte: UInt8) -> UInt8? {
        guard ram[0] & Command.translate != 0 else {
            breakNext = false
            return byte
        }
        if byte == 0xF0 {
            breakNext = true
            return nil
        }
        let code: UInt8
        switch byte {
        case 0x00...0x83: code = KeyboardCodes.translation[Int(byte)]
        case KeyboardCodes.sysRqSet2: code = KeyboardCodes.sysRqSet1
        default: code = byte
        }
        defer { breakNext = false }
        return breakNext ? code | 0x80 : code
    }

    private mutating func schedule() {
        var next = Nanoseconds.max
        if !outputFull {
            if !answers.isEmpty {
                next = answerTime
            } else {
                if ram[0] & Command.keyboardOff == 0, let time = keyboard.link.nextTime { next = min(next, time) }
                if ram[0] & Command.mouseOff == 0, let time = mouse.link.nextTime { next = min(next, time) }
            }
        }
        if let time = keyboard.repeatTime { next = min(next, time) }
        if let time = mouse.sampleTime { next = min(next, time) }
        deadline = next == .max ? nil : next
    }

    // MARK: Names

    /// Between two answers of the controller, in nanoseconds.
    private static let answerGap: Nanoseconds = 10_000

    private enum Status {
        static let outputFull: UInt8 = 0x01, selfTest: UInt8 = 0x04, command: UInt8 = 0x08, notLocked: UInt8 = 0x10
        static let mouse: UInt8 = 0x20
    }

    /// Command byte.
    private enum Command {
        static let keyboardInterrupt: UInt8 = 0x01, mouseInterrupt: UInt8 = 0x02, systemFlag: UInt8 = 0x04
        static let keyboardOff: UInt8 = 0x10, mouseOff: UInt8 = 0x20, translate: UInt8 = 0x40
        /// Both lines off until the firmware turns them on; scan codes of set 1.
        static let powerOn: UInt8 = keyboardOff | mouseOff | translate
    }
}
