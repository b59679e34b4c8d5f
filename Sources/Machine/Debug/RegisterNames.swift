import CPU

/// Registers by name, as people write them.
enum RegisterNames {
    static let long = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]
    static let segments = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"]
    private static let words = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
    private static let bytes = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"]
    private static let newBytes = ["spl", "bpl", "sil", "dil"]
    /// Names that are also hexadecimal numbers are flags with a `$` only.
    static let flags: [String: UInt32] = [
        "cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "tf": 8, "if": 9, "df": 10, "of": 11, "nt": 14, "rf": 16, "vm": 17, "ac": 18, "vif": 19, "vip": 20,
    ]
    private static let hexFlags: Set<String> = ["cf", "af", "df", "ac"]

    /// A general register: number, lowest bit, width.
    static func general(_ name: String) -> (number: Int, shift: UInt64, bits: Int)? {
        if let n = long.firstIndex(of: name) { return (n, 0, 64) }
        if name.hasPrefix("e"), let n = words.firstIndex(of: String(name.dropFirst())) { return (n, 0, 32) }
        if let n = words.firstIndex(of: name) { return (n, 0, 16) }
        if let n = bytes.firstIndex(of: name) { return (n & 3, n > 3 ? 8 : 0, 8) }
        if let n = newBytes.firstIndex(of: name) { return (n + 4, 0, 8) }
        if name.hasPrefix("r"), let last = name.last, let n = Int(name.dropFirst().dropLast()), (8...15).contains(n) {
            switch last {
            case "d": return (n, 0, 32)
            case "w": return (n, 0, 16)
            case "b", "l": return (n, 0, 8)
            default: return nil
            }
        }
        return nil
    }

    static func mask(_ bits: Int) -> UInt64 { bits >= 64 ? .max : (1 << UInt64(bits)) - 1 }

    /// nil: there is no such register. `marked`: it was written with a `$`.
    static func value(_ name: String, of processor: Processor, marked: Bool) -> UInt64? {
        let name = name.lowercased()
        let state = processor.state
        if let (number, shift, bits) = general(name) { return state.gpr[number] >> shift & mask(bits) }
        if let n = segments.firstIndex(of: name) { return UInt64(state.seg[n].selector) }
        if let bit = flags[name], marked || !hexFlags.contains(name) { return UInt64(processor.eflags >> bit & 1) }
        switch name {
        case "rip", "pc": return state.rip
        case "eip": return state.rip & 0xFFFF_FFFF
        case "ip": return state.rip & 0xFFFF
        case "rflags", "eflags": return UInt64(processor.eflags)
        case "flags": return UInt64(processor.eflags & 0xFFFF)
        case "iopl": return UInt64(processor.eflags >> 12 & 3)
        case "cpl": return UInt64(state.cpl)
        case "cr0": return UInt64(state.cr0)
        case "cr2": return state.cr2
        case "cr3": return state.cr3
        case "cr4": return UInt64(state.cr4)
        case "cr8": return state.cr8
        case "xcr0": return state.xcr0
        case "efer": return state.efer
        case "gdtr", "gdtbase": return state.gdtrBase
        case "idtr", "idtbase": return state.idtrBase
        case "mxcsr": return UInt64(state.mxcsr)
        case "fcw": return UInt64(state.fpu.control)
        case "fsw": return UInt64(state.fpu.status | UInt16(state.fpu.top) << 11)
        case "tsc", "icount": return processor.retired
        case "fsbase": return state.seg[Seg.fs].base
        case "gsbase": return state.seg[Seg.gs].base
        case "kernelgsbase": return state.kernelGSBase
        default: break
        }
        if name.hasPrefix("dr"), let n = Int(name.dropFirst(2)), (0..<8).contains(n) { return state.dr[n == 4 ? 6 : n == 5 ? 7 : n] }
        if name.hasPrefix("mm"), let n = Int(name.dropFirst(2)), (0..<8).contains(n) { return state.fpu.significand[n] }
        if name.hasPrefix("xmm"), let n = Int(name.dropFirst(3)), (0..<16).contains(n) { return state.vector[4 * n] }
        return nil
    }

    /// - Returns: why it cannot be; nil: it is done.
    static func set(_ name: String, _ value: UInt64, of processor: Processor) -> String? {
        let name = name.lowercased()
        if let (number, shift, bits) = general(name) {
            processor.edit { state in
                if bits == 64 {
                    state.gpr[number] = value
                } else {
                    let mask = mask(bits) << shift
                    state.gpr[number] = state.gpr[number] & ~mask | value << shift & mask
                }
            }
            return nil
        }
        if let n = segments.firstIndex(of: name) {
            guard value <= 0xFFFF, processor.setSegment(n, selector: UInt16(value)) else { return "There is no segment \(String(value, radix: 16))." }
            return nil
        }
        if let bit = flags[name] {
            processor.eflags = processor.eflags & ~(1 << bit) | (value != 0 ? 1 << bit : 0)
            return nil
        }
        switch name {
        case "rip", "pc": processor.edit { $0.rip = value }
        case "eip": processor.edit { $0.rip = value & 0xFFFF_FFFF }
        case "ip": processor.edit { $0.rip = value & 0xFFFF }
        case "rflags", "eflags": processor.eflags = UInt32(truncatingIfNeeded: value) & 0x3F_7FD7
        case "flags": processor.eflags = processor.eflags & ~0x7FD7 | UInt32(truncatingIfNeeded: value) & 0x7FD7
        case "cr0": processor.edit { $0.cr0 = UInt32(truncatingIfNeeded: value) | 0x10 }
        case "cr2": processor.edit { $0.cr2 = value }
        case "cr3": processor.edit { $0.cr3 = value }
        case "cr4": processor.edit { $0.cr4 = UInt32(truncatingIfNeeded: value) }
        case "cr8": processor.edit { $0.cr8 = value & 15 }
        case "efer": processor.edit { $0.efer = value & 0xD01 }
        case "mxcsr": processor.edit { $0.mxcsr = UInt32(truncatingIfNeeded: value) & 0xFFFF }
        case "fcw": processor.edit { $0.fpu.control = UInt16(truncatingIfNeeded: value) }
        case "fsw":
            processor.edit {
                $0.fpu.status = UInt16(truncatingIfNeeded: value) & ~0x3800
                $0.fpu.top = UInt8(truncatingIfNeeded: value >> 11) & 7
            }
        case "fsbase": processor.edit { $0.seg[Seg.fs].base = value }
        case "gsbase": processor.edit { $0.seg[Seg.gs].base = value }
        case "kernelgsbase": processor.edit { $0.kernelGSBase = value }
        default:
            if name.hasPrefix("dr"), let n = Int(name.dropFirst(2)), [0, 1, 2, 3, 6, 7].contains(n) {
                processor.edit { $0.dr[n] = n == 7 ? value & 0xFFFF_23FF | 0x400 : value }
            } else if name.hasPrefix("mm"), let n = Int(name.dropFirst(2)), (0..<8).contains(n) {
                processor.edit {
                    $0.fpu.significand[n] = value
                    $0.fpu.signExponent[n] = 0xFFFF
                }
            } else if name.hasPrefix("xmm"), let n = Int(name.dropFirst(3)), (0..<16).contains(n) {
                processor.edit { $0.vector[4 * n] = value }
            } else {
                return "There is no register '\(name)' that could be set."
            }
        }
        return nil
    }
}

extension DebugRegisters {
    /// - Parameter number: the processor's.
    init(_ processor: Processor, number: Int, of count: Int, a20: Bool, time: UInt64) {
        let state = processor.state
        func segment(_ n: Int) -> Segment {
            let s = state.seg[n]
            return Segment(name: RegisterNames.segments[n].uppercased(), selector: s.selector, base: s.base, limit: s.limit, attributes: s.attributes)
        }
        vcpu = number
        vcpus = count
        mode = processor.executionMode
        general = (0..<16).map { state.gpr[$0] }
        rip = state.rip
        eflags = processor.eflags
        cpl = state.cpl
        self.a20 = a20
        isPaging = state.cr0 & CR0.pg != 0
        isHalted = state.halted || state.waitingForStartup
        segments = (0..<8).map(segment)
        gdtr = Segment(name: "GDTR", selector: 0, base: state.gdtrBase, limit: state.gdtrLimit, attributes: 0)
        idtr = Segment(name: "IDTR", selector: 0, base: state.idtrBase, limit: state.idtrLimit, attributes: 0)
        control = [
            Named("CR0", UInt64(state.cr0)), Named("CR2", state.cr2), Named("CR3", state.cr3), Named("CR4", UInt64(state.cr4)), Named("CR8", state.cr8),
            Named("XCR0", state.xcr0),
        ]
        debug = [0, 1, 2, 3, 6, 7].map { Named("DR\($0)", state.dr[$0]) }
        msrs = [
            Named("EFER", state.efer), Named("STAR", state.star), Named("LSTAR", state.lstar), Named("CSTAR", state.cstar), Named("SFMASK", state.sfmask),
            Named("KERNEL_GS_BASE", state.kernelGSBase), Named("TSC_AUX", state.tscAux), Named("SYSENTER_CS", state.sysenterCS),
            Named("SYSENTER_ESP", state.sysenterESP), Named("SYSENTER_EIP", state.sysenterEIP), Named("PAT", state.pat),
            Named("MTRR_DEF_TYPE", state.mtrrDefType), Named("MISC_ENABLE", state.miscEnable), Named("TSC_OFFSET", state.tscOffset),
        ]
        fpu = FPU(state.fpu)
        mmx = (0..<8).map { state.fpu.significand[$0] }
        vectors = (0..<16).map { n in (0..<4).map { state.vector[4 * n + $0] } }
        mxcsr = state.mxcsr
        retired = processor.retired
        linear = processor.linearRIP
        self.time = time
    }
}

extension DebugRegisters.FPU {
    init(_ state: FPUState) {
        control = state.control
        status = state.status & ~0x3800 | UInt16(state.top) << 11
        opcode = state.opcode
        (instructionSelector, instructionPointer) = (state.instructionSelector, state.instructionPointer)
        (dataSelector, dataPointer) = (state.dataSelector, state.dataPointer)
        var tags: UInt16 = 0
        for n in 0..<8 {
            let exponent = state.signExponent[n] & 0x7FFF, integer = state.significand[n] >> 63 != 0
            let kind: UInt16 =
                state.empty >> UInt8(n) & 1 != 0 ? 3 : exponent == 0 && state.significand[n] == 0 ? 1 : exponent == 0 || exponent == 0x7FFF || !integer ? 2 : 0
            tags |= kind << UInt16(2 * n)
        }
        tag = tags
        registers = (0..<8).map { n in
            let physical = (Int(state.top) + n) & 7
            let (significand, signExponent) = (state.significand[physical], state.signExponent[physical])
            return Register(
                significand: significand, signExponent: signExponent, isEmpty: state.empty >> UInt8(physical) & 1 != 0)
        }
    }

}

extension DebugRegisters.FPU.Register {
    /// The extended-precision number, rounded. Not on the wire, where there are no infinities.
    public var value: Double {
        let exponent = Int(signExponent & 0x7FFF)
        let sign: FloatingPointSign = signExponent >> 15 != 0 ? .minus : .plus
        if exponent == 0x7FFF { return significand << 1 == 0 ? (sign == .minus ? -Double.infinity : .infinity) : .nan }
        guard significand != 0 else { return sign == .minus ? -0.0 : 0 }
        return Double(sign: sign, exponent: exponent - 16383 - 63, significand: Double(significand))
    }
}
