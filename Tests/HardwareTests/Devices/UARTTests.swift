import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("uart · 16550A") struct UARTTests {
    private func ready() throws -> (UART, Wires) {
        var uart = UART(index: 0)
        var wires = try makeWires()
        uart.write(0x3FB, 0x83, &wires)
        uart.write(0x3F8, 1, &wires)
        uart.write(0x3F9, 0, &wires)
        uart.write(0x3FB, 0x03, &wires)
        uart.write(0x3FC, 0x0B, &wires)
        return (uart, wires)
    }

    @Test("answers the probes by which a driver tells a 16550A from its relatives") func identify() throws {
        var (uart, wires) = try ready()
        uart.write(0x3F9, 0xFF, &wires)
        #expect(uart.read(0x3F9, &wires) == 0x0F)
        uart.write(0x3F9, 0, &wires)
        uart.write(0x3FF, 0xA5, &wires)
        #expect(uart.read(0x3FF, &wires) == 0xA5)
        #expect(uart.read(0x3FA, &wires) == 0x01)
        uart.write(0x3FA, 0x01, &wires)
        #expect(uart.read(0x3FA, &wires) == 0xC1)
        uart.write(0x3FA, 0x21, &wires)
        #expect(uart.read(0x3FA, &wires) & 0x20 == 0, "no 64-byte FIFO")
        uart.write(0x3FA, 0x00, &wires)
        #expect(uart.read(0x3FA, &wires) == 0x01)
        uart.write(0x3FB, 0x80, &wires)
        uart.write(0x3F8, 0x34, &wires)
        uart.write(0x3F9, 0x12, &wires)
        #expect(uart.read(0x3F8, &wires) == 0x34 && uart.read(0x3F9, &wires) == 0x12)
        uart.write(0x3FB, 0x1B, &wires)
        #expect(uart.read(0x3F9, &wires) == 0, "DLAB off: IER again")
    }

    @Test("a byte written leaves at once, and the transmitter interrupt returns whenever it is enabled anew") func transmit() throws {
        var (uart, wires) = try ready()
        uart.write(0x3F8, 0x41, &wires)
        #expect(wires.requests == [.emit(.serial(0), [0x41])])
        #expect(uart.read(0x3FD, &wires) == 0x60)
        for _ in 0..<2 {
            uart.write(0x3F9, 0x02, &wires)
            #expect(wires.lines == 1 << 4)
            #expect(uart.peek(0x3FA) == 0x02)
            #expect(uart.read(0x3FA, &wires) == 0x02)
            #expect(uart.read(0x3FA, &wires) == 0x01)
            #expect(wires.lines == 0)
            uart.write(0x3F9, 0x00, &wires)
        }
    }

    @Test("without OUT2 no interrupt leaves the card") func out2() throws {
        var (uart, wires) = try ready()
        uart.write(0x3FC, 0x03, &wires)
        uart.write(0x3F9, 0x02, &wires)
        #expect(wires.lines == 0)
        uart.write(0x3FC, 0x0B, &wires)
        #expect(wires.lines == 1 << 4)
    }

    @Test("received bytes keep their character time; the trigger level and the time-out raise their own causes") func receive() throws {
        var (uart, wires) = try ready()
        uart.write(0x3FA, 0x41, &wires)  // trigger at 4
        uart.write(0x3F9, 0x01, &wires)
        #expect(uart.receive([1, 2, 3, 4, 5], &wires) == 5)
        #expect(uart.deadline == 10 * 1_000_000_000 / 115_200, "ten bits at divisor 1")
        for n in 1...4 {
            wires.now = uart.deadline ?? 0
            uart.fire(&wires)
            #expect(uart.fifo.count == n)
            #expect((wires.lines != 0) == (n == 4))
        }
        #expect(uart.read(0x3FA, &wires) == 0xC4)
        wires.now = uart.deadline ?? 0
        uart.fire(&wires)
        for n in 1...4 { #expect(uart.read(0x3F8, &wires) == UInt8(n)) }
        #expect(wires.lines == 0, "one left, below the trigger")
        wires.now = uart.deadline ?? 0
        uart.fire(&wires)
        #expect(uart.read(0x3FA, &wires) == 0xCC)
        #expect(uart.read(0x3FD, &wires) & 1 == 1)
        #expect(uart.read(0x3F8, &wires) == 5)
        #expect(uart.read(0x3FA, &wires) == 0xC1)
        #expect(uart.deadline == nil)
    }

    @Test("the sender waits while the receiver is full: nothing is lost without a FIFO") func hold() throws {
        var (uart, wires) = try ready()
        #expect(uart.receive([UInt8](0..<50), &wires) == 50)
        var got: [UInt8] = []
        while let next = uart.deadline {
            wires.now = next
            uart.fire(&wires)
            #expect(uart.deadline == nil, "held until read")
            got.append(uart.read(0x3F8, &wires))
        }
        #expect(got == [UInt8](0..<50))
        #expect(uart.read(0x3FD, &wires) & 2 == 0)
        #expect(uart.receive([UInt8](repeating: 0, count: 5000), &wires) == UART.queueBytes)
        #expect(uart.receive([1], &wires) == 0)
    }

    @Test("loopback returns bytes and modem lines, and an overrun is reported once") func loopback() throws {
        var (uart, wires) = try ready()
        #expect(uart.read(0x3FE, &wires) & 0xF0 == 0xB0)
        uart.write(0x3FC, 0x1A, &wires)  // loop, RTS, OUT2
        #expect(uart.read(0x3FE, &wires) & 0xF0 == 0x90)
        uart.write(0x3F9, 0x04, &wires)
        uart.write(0x3F8, 0x55, &wires)
        uart.write(0x3F8, 0xAA, &wires)
        #expect(wires.requests.isEmpty)
        #expect(uart.read(0x3FA, &wires) == 0x06)
        #expect(uart.read(0x3FD, &wires) == 0x63)
        #expect(uart.read(0x3FD, &wires) == 0x61)
        #expect(uart.read(0x3F8, &wires) == 0xAA)
    }

    @Test("modem changes in loopback set the delta bits; reading MSR clears them") func deltas() throws {
        var (uart, wires) = try ready()
        uart.write(0x3FC, 0x10, &wires)
        _ = uart.read(0x3FE, &wires)
        uart.write(0x3FC, 0x14, &wires)  // RI up: no delta
        #expect(uart.read(0x3FE, &wires) == 0x40)
        uart.write(0x3FC, 0x12, &wires)  // RI down, CTS up
        #expect(uart.read(0x3FE, &wires) == 0x15)
        #expect(uart.read(0x3FE, &wires) == 0x10)
    }
}
