import Primitives
import Testing

@testable import Hardware

/// What a guest does at ports 0x60 and 0x64.
extension ChipBench<KeyboardController> {
    /// A controller as firmware leaves it: both devices on, IRQ1 and IRQ12 enabled.
    static func ready(translate: Bool = true) throws -> Self {
        var bench = try ChipBench(KeyboardController())
        bench.write(0x64, 0x60)
        bench.write(0x60, translate ? 0x47 : 0x07)
        return bench
    }

    /// Waits for a byte as polling firmware does, up to 10 ms.
    mutating func poll(mouse: Bool = false) -> UInt8? {
        for _ in 0..<1000 {
            let status = read(0x64)
            if status & 0x01 != 0 {
                let byte = read(0x60)
                return (status & 0x20 != 0) == mouse ? byte : nil
            }
            run(for: 10_000)
        }
        return nil
    }

    mutating func pollAll(mouse: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        while let byte = poll(mouse: mouse) { bytes.append(byte) }
        return bytes
    }

    mutating func command(_ byte: UInt8) -> UInt8? {
        write(0x64, byte)
        return poll()
    }

    mutating func keyboard(_ bytes: UInt8...) -> [UInt8] {
        var replies: [UInt8] = []
        for byte in bytes {
            write(0x60, byte)
            replies += pollAll()
        }
        return replies
    }

    mutating func mouse(_ bytes: UInt8...) -> [UInt8] {
        var replies: [UInt8] = []
        for byte in bytes {
            write(0x64, 0xD4)
            write(0x60, byte)
            replies += pollAll(mouse: true)
        }
        return replies
    }

    mutating func press(_ key: PCKey) { call { $0.key(key, down: true, &$1) } }
    mutating func release(_ key: PCKey) { call { $0.key(key, down: false, &$1) } }
    mutating func move(_ dx: Int, _ dy: Int, buttons: UInt8 = 0, wheel: Int = 0) {
        call { $0.mouse(dx: dx, dy: dy, buttons: buttons, wheel: wheel, &$1) }
    }
}

@Suite("i8042 · controller") struct KeyboardControllerTests {
    @Test("self-test and line tests pass")
    func tests() throws {
        var bench = try ChipBench(KeyboardController())
        #expect(bench.read(0x64) == 0x10)
        #expect(bench.command(0xAA) == 0x55)
        #expect(bench.read(0x64) & 0x04 != 0)
        #expect(bench.command(0xAB) == 0x00)
        #expect(bench.command(0xA9) == 0x00)
        #expect(bench.command(0xA4) == 0xF1)
    }

    @Test("answers are there at once, without waiting")
    func promptAnswer() throws {
        var bench = try ChipBench(KeyboardController())
        bench.write(0x64, 0xAA)
        #expect(bench.read(0x64) & 1 != 0)
        #expect(bench.read(0x60) == 0x55)
        #expect(bench.read(0x64) & 1 == 0)
        #expect(bench.read(0x60) == 0x55, "the buffer stays readable")
    }

    @Test("the command byte and the RAM read back; A7, A8, AD and AE change its bits")
    func commandByte() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.command(0x20) == 0x47)
        bench.write(0x64, 0xA7)
        #expect(bench.command(0x20) == 0x67)
        bench.write(0x64, 0xAD)
        #expect(bench.command(0x20) == 0x77)
        bench.write(0x64, 0xA8)
        bench.write(0x64, 0xAE)
        #expect(bench.command(0x20) == 0x47)
        bench.write(0x64, 0x7F)
        bench.write(0x60, 0x99)
        #expect(bench.command(0x3F) == 0x99)
    }

    @Test("D2 and D3 put a byte into the buffer as keyboard and as mouse, with its interrupt")
    func loopback() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.write(0x64, 0xD2)
        bench.write(0x60, 0x3C)
        #expect(bench.line(1) && !bench.line(12))
        #expect(bench.poll() == 0x3C)
        #expect(!bench.line(1))
        bench.write(0x64, 0xD3)
        bench.write(0x60, 0xA5)
        #expect(bench.line(12) && !bench.line(1))
        #expect(bench.poll(mouse: true) == 0xA5)
        #expect(!bench.line(12))
    }

    @Test("A20 follows the output port and DD/DF, and D0 reads it")
    func a20() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.write(0x64, 0xD1)
        bench.write(0x60, 0xDD)
        bench.write(0x64, 0xDF)
        #expect(bench.requests == [.setA20(false), .setA20(true)])
        #expect(bench.command(0xD0).map { $0 & 3 } == 3)
        bench.write(0x64, 0xDD)
        #expect(bench.command(0xD0).map { $0 & 3 } == 1)
        bench.call { chip, _ in chip.a20Changed(true) }
        #expect(bench.command(0xD0).map { $0 & 3 } == 3)
    }

    @Test("FE pulses the reset line, and so does bit 0 of the output port")
    func resetPulse() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.write(0x64, 0xFF)
        #expect(bench.requests.isEmpty)
        bench.write(0x64, 0xFE)
        #expect(bench.requests == [.reset(cpuOnly: true)])
        bench.write(0x64, 0xD1)
        bench.write(0x60, 0x02)
        #expect(bench.requests.last == .reset(cpuOnly: true))
    }

    @Test("a byte for the keyboard turns its line on again")
    func reenable() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.write(0x64, 0xAD)
        #expect(bench.keyboard(0xEE) == [0xEE])
        #expect(bench.command(0x20).map { $0 & 0x10 } == 0)
    }

    @Test("keys wait in the keyboard while its line is off")
    func lineOff() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.write(0x64, 0xAD)
        bench.press(.a)
        #expect(bench.pollAll() == [])
        #expect(!bench.chip.keyboardQueueIsEmpty)
        bench.write(0x64, 0xAE)
        #expect(bench.poll() == 0x1E)
    }

    @Test("without interrupts enabled no line moves; enabling them with a byte waiting raises one")
    func interruptEnable() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.write(0x64, 0x60)
        bench.write(0x60, 0x44)
        bench.press(.a)
        bench.run(for: 2_000_000)
        #expect(bench.read(0x64) & 1 != 0)
        #expect(bench.rises[1] == 0)
        bench.write(0x64, 0x60)
        bench.write(0x60, 0x45)
        #expect(bench.rises[1] == 1)
    }

    @Test("each byte is one edge of IRQ1, and the same byte is read until the next arrives")
    func spacing() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.press(.right)
        bench.run(for: 5_000_000)
        #expect(bench.rises[1] == 1)
        #expect(bench.read(0x60) == 0xE0)
        #expect(!bench.line(1))
        #expect(bench.read(0x60) == 0xE0)
        bench.run(for: 400_000)
        #expect(bench.read(0x60) == 0xE0)
        #expect(bench.rises[1] == 1)
        bench.run(for: 1_000_000)
        #expect(bench.rises[1] == 2)
        #expect(bench.read(0x60) == 0x4D)
    }

    @Test("an answer of the controller waits for the byte that is in the buffer")
    func answerWaits() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.press(.a)
        bench.run(for: 2_000_000)
        bench.write(0x64, 0x20)
        #expect(bench.read(0x60) == 0x1E)
        #expect(bench.poll() == 0x47)
    }

    @Test("survives random accesses, keys and mouse movement") func random() throws {
        let keys = PCKey.allCases
        try fuzz(KeyboardController(), seed: 5) { bench, random in
            switch random.below(6) {
            case 0: bench.press(keys[random.below(keys.count)])
            case 1: bench.release(keys[random.below(keys.count)])
            case 2:
                let dx = Int(truncatingIfNeeded: random.next()), dy = Int(truncatingIfNeeded: random.next())
                bench.move(dx, dy, buttons: UInt8(truncatingIfNeeded: random.next()), wheel: dx)
            case 3: bench.call { $0.releaseAllKeys(&$1) }
            default: break
            }
        }
    }
}

@Suite("i8042 · keyboard") struct KeyboardTests {
    @Test("every key's set 2 code translates to its set 1 code")
    func translationAgrees() {
        #expect(KeyboardCodes.set1.count == PCKey.allCases.count)
        #expect(KeyboardCodes.set2.count == PCKey.allCases.count)
        #expect(KeyboardCodes.set3.count == PCKey.allCases.count)
        #expect(KeyboardCodes.translation.count == 0x84)
        for key in PCKey.allCases where key != .pause {
            let n = KeyboardCodes.index(key)
            #expect(KeyboardCodes.translation[Int(KeyboardCodes.set2[n])] == KeyboardCodes.set1[n], "\(key)")
        }
        #expect(Set(KeyboardCodes.set3).count == KeyboardCodes.set3.count, "set 3 has one code a key")
    }

    @Test("translated set 2 and plain set 1 give the guest the same bytes", arguments: PCKey.allCases)
    func sets(key: PCKey) throws {
        var translated = try ChipBench<KeyboardController>.ready()
        var plain = try ChipBench<KeyboardController>.ready(translate: false)
        #expect(plain.keyboard(0xF0, 1) == [0xFA, 0xFA])
        translated.press(key)
        translated.release(key)
        plain.press(key)
        plain.release(key)
        let bytes = translated.pollAll()
        #expect(!bytes.isEmpty)
        #expect(bytes == plain.pollAll())
    }

    @Test("sequences that software knows by heart", arguments: [
        ([.up, .left, .down, .right], [0xE0, 0x48, 0xE0, 0x4B, 0xE0, 0x50, 0xE0, 0x4D, 0xE0, 0xCD, 0xE0, 0xD0, 0xE0, 0xCB, 0xE0, 0xC8]),
        ([.kp7, .kp8, .kp5, .kp0, .kpPeriod], [0x47, 0x48, 0x4C, 0x52, 0x53, 0xD3, 0xD2, 0xCC, 0xC8, 0xC7]),
        ([.leftWin, .menu], [0xE0, 0x5B, 0xE0, 0x5D, 0xE0, 0xDD, 0xE0, 0xDB]),
        ([.a, .z, .digit0, .f11, .esc], [0x1E, 0x2C, 0x0B, 0x57, 0x01, 0x81, 0xD7, 0x8B, 0xAC, 0x9E]),
        ([.printScreen], [0xE0, 0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xE0, 0xAA]),
        ([.pause], [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5]),
        ([.leftCtrl, .pause], [0x1D, 0xE0, 0x46, 0xE0, 0xC6, 0x9D]),
        ([.leftAlt, .printScreen], [0x38, 0x54, 0xD4, 0xB8]),
        ([.leftShift, .printScreen], [0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xAA]),
        ([.leftShift, .home], [0x2A, 0xE0, 0xAA, 0xE0, 0x47, 0xE0, 0xC7, 0xE0, 0x2A, 0xAA]),
        ([.leftCtrl, .leftAlt, .delete], [0x1D, 0x38, 0xE0, 0x53, 0xE0, 0xD3, 0xB8, 0x9D]),
        ([.rightCtrl], [0xE0, 0x1D, 0xE0, 0x9D]),
        ([.kpEnter], [0xE0, 0x1C, 0xE0, 0x9C]),
        ([.f12], [0x58, 0xD8]),
        ([.iso102], [0x56, 0xD6]),
        ([.rightShift, .kpDivide], [0x36, 0xE0, 0xB6, 0xE0, 0x35, 0xE0, 0xB5, 0xE0, 0x36, 0xB6]),
    ] as [([PCKey], [UInt8])])
    func sequences(chord: [PCKey], expected: [UInt8]) throws {
        var bench = try ChipBench<KeyboardController>.ready()
        for key in chord { bench.press(key) }
        for key in chord.reversed() { bench.release(key) }
        #expect(bench.pollAll() == expected)
    }

    @Test("untranslated set 2 of the special keys")
    func set2Sequences() throws {
        var bench = try ChipBench<KeyboardController>.ready(translate: false)
        bench.press(.pause)
        #expect(bench.pollAll() == [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77])
        bench.press(.printScreen)
        bench.release(.printScreen)
        #expect(bench.pollAll() == [0xE0, 0x12, 0xE0, 0x7C, 0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12])
    }

    @Test("with Num Lock on, a cursor key wears a Shift of its own")
    func numLock() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.keyboard(0xED, 2) == [0xFA, 0xFA])
        bench.press(.up)
        #expect(bench.pollAll() == [0xE0, 0x2A, 0xE0, 0x48])
        bench.release(.up)
        #expect(bench.pollAll() == [0xE0, 0xC8, 0xE0, 0xAA])
    }

    @Test("a Shift released during a cursor key does not come back")
    func shiftReleasedFirst() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.press(.leftShift)
        bench.press(.left)
        bench.release(.leftShift)
        bench.release(.left)
        #expect(bench.pollAll() == [0x2A, 0xE0, 0xAA, 0xE0, 0x4B, 0xAA, 0xE0, 0xCB])
    }

    @Test("set 3 sends one byte, and breaks only where they are asked for")
    func set3() throws {
        var bench = try ChipBench<KeyboardController>.ready(translate: false)
        #expect(bench.keyboard(0xF0, 3) == [0xFA, 0xFA])
        #expect(bench.keyboard(0xF0, 0) == [0xFA, 0xFA, 3])
        bench.press(.rightCtrl)
        bench.press(.a)
        bench.release(.a)
        bench.release(.rightCtrl)
        #expect(bench.pollAll() == [0x58, 0x1C])
        #expect(bench.keyboard(0xF8) == [0xFA])
        bench.press(.a)
        bench.release(.a)
        #expect(bench.pollAll() == [0x1C, 0xF0, 0x1C])
    }

    @Test("reset, identification, echo, resend and unknown commands")
    func commands() throws {
        var bench = try ChipBench<KeyboardController>.ready(translate: false)
        #expect(bench.keyboard(0xFF) == [0xFA, 0xAA])
        #expect(bench.keyboard(0xF2) == [0xFA, 0xAB, 0x83])
        #expect(bench.keyboard(0xFE) == [0x83])
        #expect(bench.keyboard(0xEE) == [0xEE])
        #expect(bench.keyboard(0x01) == [0xFE])
        #expect(bench.keyboard(0xF0, 0) == [0xFA, 0xFA, 2])
    }

    @Test("the identity reads AB 41 through the translator")
    func translatedIdentity() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.keyboard(0xF2) == [0xFA, 0xAB, 0x41])
    }

    @Test("lights are set by ED, and a command in place of the parameter is a command")
    func lights() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.keyboard(0xED, 0x05) == [0xFA, 0xFA])
        #expect(bench.chip.leds == 5)
        #expect(bench.keyboard(0xED, 0xEE) == [0xFA, 0xEE])
        #expect(bench.chip.leds == 5)
        _ = bench.keyboard(0xFF)
        #expect(bench.chip.leds == 0)
    }

    @Test("disabled, the keyboard is silent; enabling forgets what was typed")
    func scanning() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.keyboard(0xF5) == [0xFA])
        #expect(!bench.chip.keyboardEnabled)
        bench.press(.a)
        bench.release(.a)
        #expect(bench.pollAll() == [])
        #expect(bench.keyboard(0xF4) == [0xFA])
        bench.press(.b)
        #expect(bench.poll() == 0x30)
    }

    @Test("a held key repeats after 500 ms at 10.9 a second, the last one pressed only")
    func typematic() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.press(.leftShift)
        bench.press(.a)
        #expect(bench.pollAll() == [0x2A, 0x1E])
        let start = bench.now
        var bytes = 0
        while bench.now < start + 1_500_000_000 {
            bench.run(for: 1_000_000)
            if bench.read(0x64) & 1 != 0 {
                #expect(bench.read(0x60) == 0x1E)
                bytes += 1
            }
        }
        #expect((10...12).contains(bytes))
        bench.release(.a)
        #expect(bench.pollAll() == [0x9E])
        #expect(bench.chip.keyboard.repeatTime == nil)
    }

    @Test("F3 sets delay and rate")
    func typematicRate() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.keyboard(0xF3, 0x00) == [0xFA, 0xFA])
        #expect(bench.chip.keyboard.repeatDelay == 250_000_000)
        #expect(bench.chip.keyboard.repeatPeriod == 33_360_000)
        #expect(bench.keyboard(0xF3, 0x7F) == [0xFA, 0xFA])
        #expect(bench.chip.keyboard.repeatDelay == 1_000_000_000)
        #expect(bench.chip.keyboard.repeatPeriod == 500_400_000)
    }

    @Test("a guest that does not read finds an overrun code at the end of the buffer")
    func overrun() throws {
        var bench = try ChipBench<KeyboardController>.ready(translate: false)
        for _ in 0..<200 {
            bench.press(.a)
            bench.release(.a)
        }
        let bytes = bench.pollAll()
        #expect(bytes.count <= Keyboard.bufferBytes + 1 && bytes.count >= 17)
        #expect(bytes.last == 0x00)
        #expect(bytes.dropLast().elementsEqual((0..<bytes.count - 1).map { [0x1C, 0xF0, 0x1C][$0 % 3] }))
    }

    @Test("typing at the pace of keyboardQueueIsEmpty loses nothing")
    func pacedTyping() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        let keys: [PCKey] = [.h, .e, .l, .l, .o, .enter]
        var typed = 0, received: [UInt8] = []
        while received.count < 1200 {
            if bench.chip.keyboardQueueIsEmpty, typed < 1200 {
                let key = keys[typed / 2 % keys.count]
                if typed % 2 == 0 { bench.press(key) } else { bench.release(key) }
                typed += 1
            }
            bench.run(for: 50_000)
            if bench.line(1) { received.append(bench.read(0x60)) }
        }
        let expected = (0..<1200).map { step in
            KeyboardCodes.set1[KeyboardCodes.index(keys[step / 2 % keys.count])] | (step % 2 == 0 ? 0 : 0x80)
        }
        #expect(received == expected)
    }

    @Test("releasing all keys breaks every key that is down, modifiers last")
    func releaseAll() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        for key: PCKey in [.leftCtrl, .leftAlt, .x] { bench.press(key) }
        _ = bench.pollAll()
        bench.call { $0.releaseAllKeys(&$1) }
        #expect(bench.pollAll() == [0xAD, 0x9D, 0xB8])
        bench.call { $0.releaseAllKeys(&$1) }
        #expect(bench.pollAll() == [])
    }
}

@Suite("i8042 · mouse") struct MouseTests {
    static func streaming() throws -> ChipBench<KeyboardController> {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.mouse(0xF4) == [0xFA])
        return bench
    }

    @Test("reset, identity, status and unknown commands")
    func commands() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.mouse(0xFF) == [0xFA, 0xAA, 0x00])
        #expect(bench.mouse(0xF2) == [0xFA, 0x00])
        #expect(bench.mouse(0xE9) == [0xFA, 0x00, 0x02, 100])
        #expect(bench.mouse(0xE8, 3, 0xF3, 40, 0xE7, 0xF4) == [0xFA, 0xFA, 0xFA, 0xFA, 0xFA, 0xFA])
        #expect(bench.mouse(0xE9) == [0xFA, 0x30, 0x03, 40])
        #expect(bench.mouse(0xF6, 0xE9) == [0xFA, 0xFA, 0x00, 0x02, 100])
        #expect(bench.mouse(0x12) == [0xFE])
        #expect(bench.mouse(0xE8, 9) == [0xFA, 0xFE])
    }

    @Test("movement comes as a packet, up is positive, on IRQ12")
    func packet() throws {
        var bench = try Self.streaming()
        let before = bench.rises[12]
        bench.move(5, 3, buttons: 1)
        #expect(bench.pollAll(mouse: true) == [0b0010_1001, 5, 0xFD])
        #expect(bench.rises[12] == before + 3)
        bench.move(-1, -2, buttons: 6)
        #expect(bench.pollAll(mouse: true) == [0b0001_1110, 0xFF, 2])
        #expect(bench.chip.mouseEnabled)
    }

    @Test("without reporting nothing is sent")
    func silent() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        bench.move(5, 5)
        #expect(bench.pollAll(mouse: true) == [])
        #expect(!bench.chip.mouseEnabled)
    }

    @Test("a click between two samples is not lost")
    func quickClick() throws {
        var bench = try Self.streaming()
        bench.move(0, 0, buttons: 1)
        bench.move(0, 0, buttons: 0)
        #expect(bench.pollAll(mouse: true).filter { $0 & 0x08 != 0 } == [0x09, 0x08])
    }

    @Test("a long movement is spread over packets; far beyond the counters it overflows")
    func overflow() throws {
        var bench = try Self.streaming()
        bench.move(600, 0)
        #expect(bench.pollAll(mouse: true) == [0x08, 255, 0, 0x08, 255, 0, 0x08, 90, 0])
        bench.move(100_000, 0)
        #expect(bench.pollAll(mouse: true).first == 0x48)
    }

    @Test("2:1 scaling of the stream")
    func scaling() throws {
        var bench = try Self.streaming()
        #expect(bench.mouse(0xE7) == [0xFA])
        for (counts, expected) in [(1, 1), (2, 1), (3, 3), (4, 6), (5, 9), (6, 12), (40, 80)] {
            bench.move(counts, 0)
            #expect(bench.pollAll(mouse: true) == [0x08, UInt8(expected), 0])
        }
        bench.move(-5, 0)
        #expect(bench.pollAll(mouse: true) == [0x18, UInt8(bitPattern: -9), 0])
    }

    @Test("remote mode answers when asked")
    func remote() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.mouse(0xF0) == [0xFA])
        bench.move(7, 0)
        #expect(bench.pollAll(mouse: true) == [])
        #expect(bench.mouse(0xEB) == [0xFA, 0x08, 7, 0])
        #expect(bench.mouse(0xEB) == [0xFA, 0x08, 0, 0])
        #expect(bench.mouse(0xE9).dropFirst().first == 0x40)
    }

    @Test("wrap mode echoes everything but its end and reset")
    func wrap() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        #expect(bench.mouse(0xEE, 0x55, 0xF4, 0xEC, 0xF2) == [0xFA, 0x55, 0xF4, 0xFA, 0xFA, 0x00])
    }

    @Test("the knocks of the wheel and five-button drivers")
    func wheel() throws {
        var bench = try ChipBench<KeyboardController>.ready()
        _ = bench.mouse(0xF3, 200, 0xF3, 100, 0xF3, 80)
        #expect(bench.mouse(0xF2) == [0xFA, 3])
        _ = bench.mouse(0xF4)
        bench.move(1, 0, wheel: -2)
        #expect(bench.pollAll(mouse: true) == [0x08, 1, 0, 0xFE])
        _ = bench.mouse(0xF3, 200, 0xF3, 200, 0xF3, 80)
        #expect(bench.mouse(0xF2) == [0xFA, 4])
        bench.move(0, 0, buttons: 0b11000, wheel: 1)
        #expect(bench.pollAll(mouse: true) == [0x08, 0, 0, 0x31])
        #expect(bench.mouse(0xFF) == [0xFA, 0xAA, 0])
        #expect(bench.mouse(0xF2) == [0xFA, 0])
    }

    @Test("packets keep to the sample rate")
    func sampleRate() throws {
        var bench = try Self.streaming()
        _ = bench.mouse(0xF3, 20)
        let start = bench.now
        var packets = 0
        while bench.now < start + 1_000_000_000 {
            bench.move(1, 0)
            bench.run(for: 1_000_000)
            if bench.read(0x64) & 1 != 0, bench.read(0x60) == 0x08 { packets += 1 }
        }
        #expect((19...21).contains(packets))
    }
}
