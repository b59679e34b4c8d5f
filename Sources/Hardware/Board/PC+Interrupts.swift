import CPU
import Primitives

/// From the chips' lines to the processors' INTR and NMI. Each processor has a local APIC; LINT0, LINT1 and the messages reach all.
///
///     IRQ0–15 ─┬──────────────► 8259 pair ──INTR──► LAPIC LINT0 ──ExtINT──┐
///     PIRQA–D ─┤ PIIX3 60–63                                             ├─► vCPU INTR
///              └─► I/O APIC: pins 1–15 as IRQ, IRQ0 at pin 2,             │
///                  PIRQA–D at 16–19 ──message──► LAPIC IRR ───────────────┘
///     NMI ───────────────────────────────► LAPIC LINT1 ─────────────────────► vCPU NMI
extension PC {
    /// Brings every level up to date; called after whatever may have changed one.
    func settleInterrupts() {
        linesChanged = false
        var all: UInt32 = 0
        for line in driven { all |= line }
        lines = all

        var isa = UInt16(truncatingIfNeeded: all)
        if all & 0xF_0000 != 0 {
            for pirq in 0..<4 where all >> UInt32(16 + pirq) & 1 != 0 {
                if let irq = chip(place.piix3, PIIX3.self, { $0.route(pirq: pirq) }) { isa |= 1 << UInt16(irq) }
            }
        }
        let external = chip(place.pic, PIC.self) { pic in
            pic.setLines(isa)
            return pic.intr
        }
        // IRQ0 is at pin 2, where the cascade has nothing to say; pin 0 has the 8259's INTR.
        var pins = UInt32(isa) & 0xFFF8 | UInt32(isa & 0b10) | UInt32(isa & 1) << 2 | UInt32(external ? 1 : 0)
        pins |= all & 0xF_0000

        var external0 = false
        if let position = place.ioapic {
            let (toLocal, virtualWire) = chip(position, IOAPIC.self) { ioapic in
                ioapic.setPins(pins)
                return (ioapic.takeOutgoing(), ioapic.externalThroughPin0)
            }
            external0 = virtualWire
            deliver(toLocal)
        }
        let nmi = all >> 20 & 1 != 0
        // The 8259's INTR as it passes LINT0 of each processor; through the I/O APIC's pin 0 it goes to the first.
        var through: UInt32 = external && external0 ? 1 : 0
        for (number, position) in place.lapics.enumerated() {
            let passes = chip(position, LAPIC.self) { lapic in
                lapic.setLINT1(nmi)
                return lapic.setLINT0(external)
            }
            if passes { through |= 1 << UInt32(number) }
        }
        exchangeMessages()
        for (number, position) in place.lapics.enumerated() { signal(number, position, external: through >> UInt32(number) & 1 != 0) }
        if pendingINIT != 0 { engine.requestExit() }
    }

    /// INTR, NMI, INIT and SIPI of one processor.
    private func signal(_ number: Int, _ position: Int, external: Bool) {
        let (pending, nmi, initialise, startUp) = chip(position, LAPIC.self) { lapic in
            (lapic.pending != nil, lapic.takeNMI(), lapic.takeINIT(), lapic.takeStartUp())
        }
        let bit: UInt32 = 1 << UInt32(number)
        let level = pending || external
        if level != (intr & bit != 0) {
            intr ^= bit
            engines[number].setINTR(level)
            if level { attend(number) }
        }
        if nmi {
            engines[number].raiseNMI()
            attend(number)
        }
        if initialise { pendingINIT |= bit }
        if let startUp, engines[number].startUp(vector: startUp) { attend(number) }
    }

    /// Brings messages to the local APICs that they are for.
    private func deliver(_ messages: [APICMessage]) {
        for message in messages {
            guard message.mode == .lowestPriority, place.lapics.count > 1 else {
                for position in place.lapics { chip(position, LAPIC.self) { _ = $0.accept(message) } }
                continue
            }
            var winner: (position: Int, priority: UInt8)?
            for position in place.lapics {
                let bid = chip(position, LAPIC.self) { $0.competes(for: message) ? $0.ppr : nil }
                if let bid, bid < winner?.priority ?? .max { winner = (position, bid) }
            }
            if let winner { chip(winner.position, LAPIC.self) { _ = $0.accept(message) } }
        }
    }

    /// EOI broadcasts and inter-processor interrupts; an EOI of a level still asserted sends the next message at once.
    private func exchangeMessages() {
        for _ in 0..<64 {
            var quiet = true
            for position in place.lapics {
                let (ended, messages) = chip(position, LAPIC.self) { ($0.takeEnded(), $0.takeOutgoing()) }
                if ended.isEmpty && messages.isEmpty { continue }
                quiet = false
                let again = place.ioapic.map { position in
                    chip(position, IOAPIC.self) { ioapic in
                        for vector in ended { ioapic.end(of: vector) }
                        return ioapic.takeOutgoing()
                    }
                }
                deliver(messages + (again ?? []))
            }
            if quiet { return }
        }
    }

    /// The running processor takes its interrupt.
    public func acknowledgeInterrupt() -> UInt8? {
        var vector = chip(place.lapics[current], LAPIC.self) { $0.acknowledge() }
        if vector == nil, intr >> UInt32(current) & 1 != 0 { vector = chip(place.pic, PIC.self) { $0.acknowledge() } }
        if let vector, wires.tap != nil {
            wires.now = now()
            wires.trace(.irq, .acknowledge, size: UInt16(truncatingIfNeeded: current), value: UInt64(vector))
        }
        settleInterrupts()
        return vector
    }
}
