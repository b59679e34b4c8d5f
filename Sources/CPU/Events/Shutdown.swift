import Primitives

/// How far the delivery of an event came: what it was about to use when it threw. `Transient.stageValue` says which.
enum DeliveryStage: UInt8, Equatable, Sendable {
    /// The entry lies within the table; reads it (linear address).
    case limit, entry
    /// The gate's own fields (raw).
    case gate
    /// The handler's code segment (selector), its level from V86 mode (DPL).
    case code, level
    /// The inner stack's place in the TSS (level, or offset in a 64-bit one), its segment (selector).
    case taskState, stack
    /// Writes the frame (stack pointer), goes to the handler (offset).
    case push, target
    /// A task gate: the new TSS (selector), limits of both, their memory, what the new task loads (its TSS's selector).
    case task, taskLimit, oldTaskLimit, taskMemory, taskSegments
}

/// An event that could not be delivered, and where its delivery stood.
struct DeliveryFailure: Equatable {
    enum Event: Equatable { case fault(Fault), interrupt(UInt8), nmi }
    var event: Event
    /// What was thrown.
    var fault: Fault
    var stage: DeliveryStage
    var value: UInt64
    /// CR2, for page faults.
    var address: UInt64

    var vector: UInt8 {
        switch event {
        case .fault(let fault): fault.vector
        case .interrupt(let vector): vector
        case .nmi: 2
        }
    }

    var name: String {
        switch event {
        case .fault(let fault): fault.name
        case .interrupt(let vector): "interrupt \(hex(UInt64(vector)))"
        case .nmi: "an NMI"
        }
    }
}

/// `0x1f`; 0 alone is `0`.
func hex(_ value: UInt64) -> String { value == 0 ? "0" : "0x" + String(value, radix: 16) }

extension Core {
    /// Notes the step that a delivery is at.
    @inline(__always)
    func at(_ stage: DeliveryStage, _ value: UInt64 = 0) {
        t.pointee.stage = stage
        t.pointee.stageValue = value
    }

    /// The delivery of `event` has just thrown `fault`.
    func failed(_ event: DeliveryFailure.Event, _ fault: Fault) -> DeliveryFailure {
        DeliveryFailure(event: event, fault: fault, stage: t.pointee.stage, value: t.pointee.stageValue, address: v.pointee.cr2)
    }

    /// Why: "the IDT limit is 0". The tables are as the delivery met them; reading them again changes nothing.
    fileprivate func cause(_ failure: DeliveryFailure) -> String {
        let (fault, value, vector) = (failure.fault, failure.value, failure.vector)
        let selector = UInt16(truncatingIfNeeded: value), entry = "IDT entry \(vector)"
        if fault.vector == 14 { return pageCause(failure, entry) }
        switch failure.stage {
        case .limit:
            let limit = v.pointee.idtrLimit
            return limit == 0 ? "the IDT limit is 0" : "\(entry) lies beyond the IDT limit \(hex(UInt64(limit)))"
        case .entry: return "\(entry) cannot be read"
        case .gate:
            let gate = Descriptor(raw: value, address: 0)
            if value == 0 { return "\(entry) is empty" }
            let types: UInt16 = isLong ? 0b1100_0000_0000_0000 : 0b1100_0000_1110_0000
            if !gate.isSystem || types & (1 << UInt16(gate.type)) == 0 {
                return "\(entry) is of type \(hex(UInt64(gate.type | (gate.isSystem ? 0 : 0x10)))), which is no gate for \(isLong ? "64-bit mode" : "events")"
            }
            if !gate.isPresent { return "\(entry) is not present" }
            return "\(entry) has DPL \(gate.dpl), which ring \(cpl) may not use"
        case .code: return codeCause(selector, entry, fault)
        case .level: return "\(entry) leads from V86 mode into ring \(value), not into ring 0"
        case .taskState:
            let tss = segment(Seg.tr)
            if !tss.isPresent || isNull(tss.selector) { return "there is no TSS to take a stack from" }
            return "the TSS is too short to hold the handler's stack: its limit is \(hex(UInt64(tss.limit)))"
        case .stack: return stackCause(selector)
        case .push: return pushCause(value)
        case .target:
            if isLong { return "the handler's address \(hex(value)) is not canonical" }
            return "the handler's offset \(hex(value)) lies beyond the limit of its code segment"
        case .task: return taskCause(selector, entry, fault)
        case .taskLimit: return "the TSS of \(entry)'s task gate is too short: its limit is \(hex(value))"
        case .oldTaskLimit: return "the TSS of the task that is left is too short: its limit is \(hex(value))"
        case .taskMemory: return "a TSS cannot be used"
        case .taskSegments:
            return "selector \(hex(UInt64(fault.errorCode & 0xFFFC))) in the new task's TSS cannot be loaded"
        }
    }

    /// A page fault on the way: CR2 says where.
    private func pageCause(_ failure: DeliveryFailure, _ entry: String) -> String {
        let address = hex(failure.address)
        switch failure.stage {
        case .limit, .entry, .gate: return "\(entry) at \(address) is on a page that is not mapped"
        case .code, .stack: return "the descriptor at \(address) is on a page that is not mapped"
        case .taskState, .task, .taskLimit, .oldTaskLimit, .taskMemory, .taskSegments: return "the TSS at \(address) is on a page that is not mapped"
        default: return "the stack at \(address) is on a page that is not mapped for writing"
        }
    }

    /// "lies beyond the GDT limit 0x27", or nil when the table has it.
    private func beyondTable(_ selector: UInt16) -> String? {
        let last = UInt64(selector & 0xFFF8) + 7
        if selector & 4 == 0 {
            return last <= UInt64(v.pointee.gdtrLimit) ? nil : "lies beyond the GDT limit \(hex(UInt64(v.pointee.gdtrLimit)))"
        }
        let ldt = segment(Seg.ldtr)
        if !ldt.isPresent || isNull(ldt.selector) { return "names the LDT, and there is none" }
        return last <= UInt64(ldt.limit) ? nil : "lies beyond the LDT limit \(hex(UInt64(ldt.limit)))"
    }

    private func codeCause(_ selector: UInt16, _ entry: String, _ fault: Fault) -> String {
        if isNull(selector) { return "\(entry) has a null code selector" }
        let name = "code selector \(hex(UInt64(selector))) of \(entry)"
        if let beyond = beyondTable(selector) { return "\(name) \(beyond)" }
        if fault.vector == Fault.np { return "\(name) names a segment that is not present" }
        guard let found = try? descriptor(selector), found.isCode else { return "\(name) names no code segment" }
        if found.dpl > cpl { return "\(name) names code of ring \(found.dpl), which ring \(cpl) may not enter" }
        return "\(name) names no 64-bit code segment"
    }

    private func stackCause(_ selector: UInt16) -> String {
        if isNull(selector) { return "the stack selector in the TSS is null" }
        let name = "stack selector \(hex(UInt64(selector))) in the TSS"
        if let beyond = beyondTable(selector) { return "\(name) \(beyond)" }
        guard let found = try? descriptor(selector), found.isWritableData else { return "\(name) names no writable data segment" }
        if !found.isPresent { return "\(name) names a segment that is not present" }
        return "\(name) is not one of the handler's ring"
    }

    private func pushCause(_ pointer: UInt64) -> String {
        if isLong { return "the stack pointer \(hex(pointer)) is not canonical" }
        let limit = segment(Seg.ss).limit
        return "the stack pointer \(hex(pointer)) leaves no room within the stack segment, whose limit is \(hex(UInt64(limit)))"
    }

    private func taskCause(_ selector: UInt16, _ entry: String, _ fault: Fault) -> String {
        if isNull(selector) { return "the task gate in \(entry) has a null TSS selector" }
        let name = "TSS selector \(hex(UInt64(selector))) of the task gate in \(entry)"
        if selector & 4 != 0 { return "\(name) names the LDT, where no TSS may be" }
        if let beyond = beyondTable(selector) { return "\(name) \(beyond)" }
        if fault.vector == Fault.np { return "\(name) names a TSS that is not present" }
        if let found = try? descriptor(selector), SystemType.isBusyTSS(found) { return "\(name) names a TSS that is busy" }
        return "\(name) names no TSS"
    }
}

/// What led to a shutdown, told when it has come to that.
struct ShutdownStory {
    private let core: Core
    private let first: Fault
    private let selector: UInt16
    private let offset: UInt64
    private let linear: UInt64
    private let address: UInt64
    var failures: [DeliveryFailure]

    /// - Parameter failure: `first` came up in the delivery of an interrupt.
    init(_ core: Core, _ first: Fault, _ failure: DeliveryFailure?) {
        (self.core, self.first) = (core, first)
        let code = core.segment(Seg.cs)
        (selector, offset) = (code.selector, core.rip)
        linear = (code.base &+ core.rip) & core.t.pointee.addressMask
        address = core.v.pointee.cr2
        failures = failure.map { [$0] } ?? []
    }

    /// "triple fault: #GP while delivering #DF, because the IDT limit is 0; it began with #UD at 0008:00010123".
    func sentence(_ what: String) -> String {
        var text = what
        var told: String?
        for (number, failure) in failures.reversed().enumerated() {
            let cause = core.cause(failure)
            // The same reason again says nothing new, but for the one that comes first.
            if cause == told { continue }
            text += number == 0 ? ": " : "; before that "
            text += "\(failure.fault.name) while delivering \(failure.name), because \(cause)"
            told = cause
        }
        return text + "; it began with \(origin) at \(place)"
    }

    private var place: String {
        let digits = String(offset, radix: 16)
        let width = core.is64 ? 16 : core.isProtected && !core.isV86 ? 8 : 4
        let code = String(selector, radix: 16)
        return String(repeating: "0", count: max(0, 4 - code.count)) + code + ":"
            + String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// The first fault, with what can be said of it.
    private var origin: String {
        if let failure = failures.first, case .fault = failure.event {} else if let failure = failures.first { return failure.name }
        switch first.vector {
        case 14:
            let code = first.errorCode
            let how = code & 0x10 != 0 || (code & 2 == 0 && address == linear) ? "executing" : code & 2 != 0 ? "writing" : "reading"
            let why = code & 8 != 0 ? "reserved bits are set in its page tables" : code & 1 != 0 ? "not allowed" : "not mapped"
            return "#PF \(how) \(hex(address)) (\(why))"
        case 6: return "#UD" + bytes
        default: return first.hasErrorCode && first.errorCode != 0 ? "\(first.name)(\(hex(UInt64(first.errorCode))))" : first.name
        }
    }

    /// What the processor did not understand, when it is in memory that needs no page walk.
    private var bytes: String {
        let entry = core.t.pointee.tlb[Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))]
        if core.cr0 & CR0.pg == 0, core.t.pointee.processor.memory.page(linear).read < 0 { return " where no memory is" }
        guard entry.execute == linear & ~0xFFF, entry.addend != 0 else { return "" }
        let count = min(4, 0x1000 - Int(linear & 0xFFF))
        let start = UnsafeRawPointer(bitPattern: entry.addend &+ UInt(truncatingIfNeeded: linear))
        guard let start else { return "" }
        let text = (0..<count).map { n -> String in
            let byte = String(start.load(fromByteOffset: n, as: UInt8.self), radix: 16)
            return byte.count == 1 ? "0" + byte : byte
        }
        return " (bytes \(text.joined(separator: " ")))"
    }
}
