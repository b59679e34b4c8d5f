import CPU
import Primitives

// What the processors and the memory map tell of themselves, where somebody has switched it on.
extension PC {
    /// The kinds of events that are wanted beside those that are always told of.
    public func trace(_ categories: TraceCategories) {
        var told: ProcessorEvents = []
        if categories.contains(.cpu) { told.insert(.control) }
        if categories.contains(.tlb) { told.insert(.translation) }
        if categories.contains(.bios) { told.insert(.firmware) }
        for engine in engines { engine.told = told }
        wires.tap?.tellsMemory = categories.contains(.mem)
    }

    public func note(_ event: ProcessorEvent) {
        guard let tap = wires.tap else { return }
        var entry = TraceEvent(PC.category(event.kind), PC.code(event.kind), size: event.number, place: event.place, value: event.value)
        // Bus calls move nothing on: the time is as it was told last.
        if case .virtual = settings.clock { entry.time = now() } else { entry.time = paced.pointee.time }
        tap.record(entry, at: entry.time, position: event.position)
        // The reader must have its turn before the ring is full.
        if tap.isFull { engine.requestExit() }
    }

    private static func category(_ kind: ProcessorEvent.Kind) -> TraceCategory {
        switch kind {
        case .exception, .interrupt, .software, .controlRegister, .farTransfer, .taskSwitch: .cpu
        case .firmware: .bios
        case .walk, .flush, .invalidate: .tlb
        }
    }

    private static func code(_ kind: ProcessorEvent.Kind) -> TraceCode {
        switch kind {
        case .exception: .exception
        case .interrupt: .interrupt
        case .software: .softwareInterrupt
        case .firmware: .firmwareCall
        case .controlRegister: .controlRegister
        case .farTransfer: .farTransfer
        case .taskSwitch: .taskSwitch
        case .walk: .pageWalk
        case .flush: .translationFlush
        case .invalidate: .pageInvalidation
        }
    }

    /// An access to a register window, or a change of what lies where.
    @inline(__always)
    func traceMemory(_ code: TraceCode, _ size: Int, _ address: Physical, _ value: UInt64) {
        guard let tap = wires.tap, tap.tellsMemory else { return }
        let place = UInt32(truncatingIfNeeded: address)
        tap.record(
            TraceEvent(.mem, code, size: UInt16(truncatingIfNeeded: size), place: place, value: value), at: wires.now, position: wires.position)
        if tap.isFull { engine.requestExit() }
    }
}
