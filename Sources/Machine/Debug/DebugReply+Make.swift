import CPU
import Hardware

// Answers made by others than the debugger: canned ones.
extension DebugRegisters {
    public init(
        _ mode: ExecutionMode, general: [UInt64], rip: UInt64, eflags: UInt32, segments: [Segment], gdtr: Segment, idtr: Segment, control: [Named],
        debug: [Named], msrs: [Named], fpu: FPU, mmx: [UInt64], vectors: [[UInt64]], mxcsr: UInt32, retired: UInt64, linear: UInt64
    ) {
        self.init(
            vcpu: 0, vcpus: 1, mode: mode, general: general, rip: rip, eflags: eflags, cpl: 0, a20: true, isPaging: false, isHalted: false,
            segments: segments, gdtr: gdtr, idtr: idtr, control: control, debug: debug, msrs: msrs, fpu: fpu, mmx: mmx, vectors: vectors,
            mxcsr: mxcsr, retired: retired, linear: linear, time: 0)
    }
}

extension DebugRegisters.Segment {
    public init(_ name: String, selector: UInt16, base: UInt64, limit: UInt32, attributes: UInt16) {
        self.init(name: name, selector: selector, base: base, limit: limit, attributes: attributes)
    }
}

extension DebugRegisters.FPU {
    /// After FNINIT, with these registers.
    public init(_ registers: [Register]) {
        self.init(
            control: 0x37F, status: 0, tag: 0xFFFF, opcode: 0, instructionSelector: 0, instructionPointer: 0, dataSelector: 0, dataPointer: 0,
            registers: registers)
    }
}

extension DebugRegisters.FPU.Register {
    public init(_ significand: UInt64, _ signExponent: UInt16, isEmpty: Bool) {
        self.init(significand: significand, signExponent: signExponent, isEmpty: isEmpty)
    }
}

extension DebugInstruction {
    public init(_ text: String, linear: UInt64, offset: UInt64, bytes: [UInt8], isCurrent: Bool) {
        self.init(linear: linear, offset: offset, bytes: bytes, text: text, isCurrent: isCurrent)
    }
}

extension DebugInstruction.Operand {
    public init(_ linear: UInt64, bytes: Int, value: UInt64?) { self.init(linear: linear, bytes: bytes, value: value) }
}

extension DebugBranch {
    public init(_ kind: String, from: UInt64, to: UInt64, retired: UInt64, label: String?) {
        self.init(vcpu: 0, from: from, to: to, retired: retired, kind: kind, label: label)
    }
}

extension DebugTable {
    public init(_ kind: DebugTableKind, base: UInt64, limit: UInt32, rows: [Row]) {
        self.init(kind: kind, base: base, limit: limit, rows: rows, note: "")
    }
}

extension DebugTable.Row {
    public init(_ index: Int, raw: UInt64, text: String) { self.init(index: index, raw: raw, text: text) }
}

extension DebugStop {
    public init(
        _ reason: Reason, _ text: String, serial: UInt64, retired: UInt64, selector: UInt16, offset: UInt64, linear: UInt64, mode: ExecutionMode
    ) {
        self.init(
            serial: serial, reason: reason, text: text, vcpu: 0, retired: retired, selector: selector, offset: offset, linear: linear, mode: mode)
    }
}
