import Primitives

/// Where an event comes from. It decides the gate's privilege check, the EXT bit of nested faults and the RF bit that is pushed.
///
/// Source: SDM Vol. 3A, "Interrupt and Exception Handling"; Vol. 2, INT n/INTO/INT3/INT1.
enum EventKind: Equatable, Sendable {
    /// INTR.
    case external
    case nmi
    /// A fault of the instruction: RF is set in the pushed flags, the return address is the instruction itself.
    case exception
    /// #DB after an instruction, or before it for an instruction breakpoint: RF is pushed as it is.
    case trap
    /// INT n: the gate's DPL is checked, the return address is the next instruction.
    case software
    /// INT3 and INTO: as INT n, but not IOPL-sensitive in virtual-8086 mode.
    case int3
    /// INT1 (F1): a #DB without the DPL check.
    case icebp

    var checksGateDPL: Bool { self == .software || self == .int3 }
    /// Nested faults carry EXT when the program did not ask for the event.
    var setsEXT: Bool { !checksGateDPL }
}

/// What became of an exception.
enum FaultOutcome: Equatable, Sendable {
    /// The guest's handler is next.
    case delivered
    /// The processor stopped. The sentence names the chain of faults.
    case shutdown(String)
    /// A fault of ours.
    case failed(String)
}

/// Severity in the double-fault table, SDM Vol. 3A, table 6-4 and 6-5.
private enum Severity {
    case benign, contributory, page

    init(_ vector: UInt8) {
        switch vector {
        case 0, 10, 11, 12, 13: self = .contributory
        case 14: self = .page
        default: self = .benign
        }
    }
}

extension Fault {
    /// The same fault during the delivery of an event that the program did not ask for: EXT is set in selector error codes.
    var external: Fault {
        guard (10...13).contains(vector) else { return self }
        var f = self
        f.errorCode |= 1
        return f
    }

    /// What the guest gets for it. The tables of an event may lie where no address can be.
    fileprivate var delivered: Fault { self == .nonCanonical ? .generalProtection : self }

    /// "#GP", for messages.
    var name: String {
        let names = ["DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS", "NP", "SS", "GP", "PF", "15", "MF", "AC", "MC", "XM"]
        return "#" + (Int(vector) < names.count ? names[Int(vector)] : String(vector))
    }
}

extension Core {
    /// Events nested in each other before the processor is stopped. Real processors loop for ever when, say, #AC strikes in the
    /// delivery of #AC; the host must not.
    private static let deepestNesting = 8

    /// Delivers a fault of the current instruction, restarting it at `instructionRIP`.
    func handle(_ fault: Fault) -> FaultOutcome {
        rip = t.pointee.instructionRIP
        return deliverChain(fault)
    }

    /// An external interrupt or NMI between two instructions.
    func interrupt(vector: UInt8, kind: EventKind) -> FaultOutcome {
        t.pointee.instructionRIP = rip
        do throws(Fault) {
            try deliver(vector: vector, kind: kind, errorCode: nil)
            return .delivered
        } catch {
            // Interrupts are benign: the nested fault is delivered by itself.
            return deliverChain(error, after: failed(kind == .nmi ? .nmi : .interrupt(vector), error))
        }
    }

    private func deliverChain(_ raised: Fault, after failure: DeliveryFailure? = nil) -> FaultOutcome {
        let first = raised.delivered
        var current = first
        var story = ShutdownStory(self, first, failure)
        defer { t.pointee.taskSwitched = false }
        for _ in 0..<Core.deepestNesting {
            guard current.vector < Fault.firstInternal else {
                return .failed("the event \(current.vector), which is none of the guest's, was to be delivered")
            }
            let nested: Fault
            do throws(Fault) {
                try deliver(vector: current.vector, kind: .exception, errorCode: current.hasErrorCode ? current.errorCode : nil)
                return .delivered
            } catch { nested = error.delivered }
            story.failures.append(failed(.fault(current), nested))
            if current.vector == 8 {
                // Anything that a table lookup or a page walk throws while #DF is delivered.
                if Severity(nested.vector) != .benign { return .shutdown(story.sentence("triple fault")) }
                current = nested
                continue
            }
            switch (Severity(current.vector), Severity(nested.vector)) {
            case (.contributory, .contributory), (.page, .contributory), (.page, .page): current = Fault(8, errorCode: 0)
            default: current = nested
            }
        }
        return .shutdown(story.sentence("endless chain of faults"))
    }

    /// Delivers #DB. `dr6` holds the bits to report (B0–B3, BD, BS, BT).
    ///
    /// At an instruction boundary: `rip` is the next instruction, which a fault (instruction breakpoint) has not run and a trap
    /// follows. RF is pushed as it is. What the delivery throws goes to `handle` as a fault of its own: #DB is benign.
    func raiseDebug(dr6: UInt32, fault: Bool) throws(Fault) {
        t.pointee.instructionRIP = rip
        reportDebug(dr6)
        try deliver(vector: 1, kind: .trap, errorCode: nil)
    }

    /// Records conditions in DR6: B0–B3 are replaced, the rest accumulates. SDM Vol. 3B, "Debug Status Register (DR6)".
    func reportDebug(_ bits: UInt32) {
        v.pointee.dr[6] = v.pointee.dr[6] & ~0xF | UInt64(bits & DR6.writable) | DR6.fixed
        t.pointee.pendingDebug = 0
    }

    /// DR6 bits of instruction breakpoints at a linear address; 0 while RF or the MOV SS shadow suppresses them.
    func instructionBreakpoint(_ linear: UInt64) -> UInt32 {
        let dr7 = v.pointee.dr[7]
        guard dr7 & 0xFF != 0, v.pointee.systemFlags & EFlags.rf == 0, v.pointee.shadow != Shadow.movSS else { return 0 }
        var hits: UInt32 = 0
        for n in 0..<4 where dr7 & (3 << UInt64(2 * n)) != 0 {
            let condition = dr7 >> UInt64(16 + 4 * n) & 3
            if condition == 0 && v.pointee.dr[n] == linear { hits |= 1 << UInt32(n) }
        }
        return hits
    }

    /// I/O breakpoints (CR4.DE): notes them for the trap after the instruction.
    func noteIOBreakpoints(_ port: UInt16, _ bytes: Int) {
        let dr7 = v.pointee.dr[7]
        for n in 0..<4 where dr7 & (3 << UInt64(2 * n)) != 0 && dr7 >> UInt64(16 + 4 * n) & 3 == 2 {
            let length = [1, 2, 8, 4][Int(dr7 >> UInt64(18 + 4 * n) & 3)]
            let start = v.pointee.dr[n] & 0xFFFF & ~UInt64(length - 1)
            if UInt64(port) < start + UInt64(length) && start < UInt64(port) + UInt64(bytes) { t.pointee.pendingDebug |= 1 << UInt32(n) }
        }
    }
}

/// Values of `VCPU.shadow`.
enum Shadow {
    static let none: UInt8 = 0
    /// STI: interrupts wait one instruction.
    static let sti: UInt8 = 1
    /// MOV SS, POP SS: interrupts, NMI and debug traps wait one instruction.
    static let movSS: UInt8 = 2
}

/// DR6 by the manual's names.
enum DR6 {
    static let bd: UInt32 = 1 << 13, bs: UInt32 = 1 << 14, bt: UInt32 = 1 << 15
    static let writable: UInt32 = 0xE00F
    /// Bits 4–11 and 16–31 read as 1, bit 12 as 0.
    static let fixed: UInt64 = 0xFFFF_0FF0
}

/// DR7 by the manual's names.
enum DR7 {
    static let gd: UInt64 = 1 << 13
    /// L0–L3 and LE: cleared by a task switch.
    static let local: UInt64 = 0x155
    /// Bit 10 reads as 1; 11, 12, 14 and 15 as 0.
    static let fixed: UInt64 = 1 << 10
    static let writable: UInt64 = 0xFFFF_23FF
}
