import CPU
import Primitives

/// From the chips' lines to the processor's INTR and NMI.
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

        let (toLocal, external0) = chip(place.ioapic, IOAPIC.self) { ioapic in
            ioapic.setPins(pins)
            return (ioapic.takeOutgoing(), ioapic.externalThroughPin0)
        }
        var level = chip(place.lapic, LAPIC.self) { lapic in
            for message in toLocal { lapic.accept(message) }
            lapic.setLINT1(all >> 20 & 1 != 0)
            return lapic.setLINT0(external)
        }
        exchangeMessages()
        level = level || external && external0
        var wantsNMI = false
        chip(place.lapic, LAPIC.self) { lapic in
            level = level || lapic.pending != nil
            wantsNMI = lapic.takeNMI()
            if lapic.takeINIT() { pendingINIT = true }
        }
        if level != intr {
            intr = level
            engine.setINTR(level)
            if level { engine.requestExit() }
        }
        if wantsNMI {
            engine.raiseNMI()
            engine.requestExit()
        }
        if pendingINIT { engine.requestExit() }
    }

    /// EOI broadcasts and inter-processor interrupts; an EOI of a level still asserted sends the next message at once.
    private func exchangeMessages() {
        for _ in 0..<64 {
            let (ended, messages) = chip(place.lapic, LAPIC.self) { ($0.takeEnded(), $0.takeOutgoing()) }
            guard !ended.isEmpty || !messages.isEmpty else { return }
            let again = chip(place.ioapic, IOAPIC.self) { ioapic in
                for vector in ended { ioapic.end(of: vector) }
                return ioapic.takeOutgoing()
            }
            chip(place.lapic, LAPIC.self) { lapic in for message in messages + again { lapic.accept(message) } }
        }
    }

    public func acknowledgeInterrupt() -> UInt8? {
        var vector = chip(place.lapic, LAPIC.self) { $0.acknowledge() }
        if vector == nil, intr { vector = chip(place.pic, PIC.self) { $0.acknowledge() } }
        settleInterrupts()
        return vector
    }
}
