import Primitives

/// Something that a processor tells of itself, for traces. All of it lies on slow paths and costs a branch when nobody listens; nothing that
/// the guest can notice depends on it.
public struct ProcessorEvent: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        /// `number` vector, `place` error code with bit 16 set where there is one, `value` CR2 for #PF.
        case exception
        /// `number` vector.
        case interrupt
        /// INT n, INT3, INTO: `number` vector, `value` RAX.
        case software
        /// INT n of real mode that firmware answers: `number` vector, `place` CX and DX, `value` EAX and EBX.
        case firmware
        /// `number` register, `value` what is written.
        case controlRegister
        /// `number` 0 JMP, 1 CALL, 2 RET, 3 IRET; `value` where to, as `position`.
        case farTransfer
        /// `number` selector of the task.
        case taskSwitch
        /// `number` 0 read, 1 write, 2 execute; `place` physical page number, `value` linear address.
        case walk
        /// `number` 1: global pages stay.
        case flush
        /// INVLPG: `value` linear address.
        case invalidate
    }
    public var kind: Kind
    public var number: UInt16
    public var place: UInt32
    public var value: UInt64
    /// Of the instruction: CS in bits 63–48, the low bits of the offset in 47–0.
    public var position: UInt64
}

/// Kinds of events that somebody listens to.
public struct ProcessorEvents: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Exceptions, interrupts, far transfers, control registers.
    public static let control = ProcessorEvents(rawValue: 1)
    /// Page walks and flushes.
    public static let translation = ProcessorEvents(rawValue: 2)
    /// Calls of the firmware.
    public static let firmware = ProcessorEvents(rawValue: 4)
}

extension CPUBus {
    /// A processor tells of itself.
    public func note(_ event: ProcessorEvent) {}
}

extension Processor {
    /// What goes to `CPUBus.note`.
    public var told: ProcessorEvents {
        get { core.t.pointee.told }
        set { core.t.pointee.told = newValue }
    }

    /// Where the processor is, as in `ProcessorEvent.position`.
    public var tracePosition: UInt64 { core.tracePosition }
}

extension Core {
    var tracePosition: UInt64 { UInt64(segment(Seg.cs).selector) << 48 | t.pointee.instructionRIP & 0xFFFF_FFFF_FFFF }

    @inline(__always)
    func tells(_ events: ProcessorEvents) -> Bool { !t.pointee.told.isDisjoint(with: events) }

    @inline(never)
    func tell(_ kind: ProcessorEvent.Kind, number: UInt16 = 0, place: UInt32 = 0, value: UInt64 = 0, position: UInt64? = nil) {
        t.pointee.processor.bus.note(
            ProcessorEvent(kind: kind, number: number, place: place, value: value, position: position ?? tracePosition))
    }

    /// Video, equipment, memory, disk, serial, system, keyboard, printer, boot, clock: what SeaBIOS and the VGA BIOS answer.
    private static let firmwareVectors: ClosedRange<UInt8> = 0x10...0x1C

    /// An event that is about to be delivered.
    @inline(never)
    func tellDelivery(_ vector: UInt8, _ kind: EventKind, _ errorCode: UInt16?) {
        switch kind {
        case .software where isRealOrV86 && Core.firmwareVectors.contains(vector):
            guard tells(.firmware) else { return }
            let (a, b) = (reg(0, UInt32.self), reg(24, UInt32.self)), (c, d) = (reg(8, UInt16.self), reg(16, UInt16.self))
            tell(.firmware, number: UInt16(vector), place: UInt32(c) << 16 | UInt32(d), value: UInt64(b) << 32 | UInt64(a))
        case .software, .int3, .icebp:
            if tells(.control) { tell(.software, number: UInt16(vector), value: reg(0, UInt64.self)) }
        case .external, .nmi:
            if tells(.control) { tell(.interrupt, number: UInt16(vector)) }
        case .exception, .trap:
            guard tells(.control) else { return }
            let code = errorCode.map { UInt32($0) | 1 << 16 } ?? 0
            tell(.exception, number: UInt16(vector), place: code, value: vector == 14 ? v.pointee.cr2 : 0)
        }
    }

    /// A far transfer, told of when it has succeeded.
    @inline(__always)
    func transfer(_ how: UInt16, _ body: () throws(Fault) -> Void) throws(Fault) {
        guard tells(.control) else { return try body() }
        let from = tracePosition
        try body()
        tell(.farTransfer, number: how, value: UInt64(segment(Seg.cs).selector) << 48 | rip & 0xFFFF_FFFF_FFFF, position: from)
    }
}
