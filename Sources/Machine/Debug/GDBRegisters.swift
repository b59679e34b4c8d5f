import CPU

/// How a gdb sees the processor. It learns of it when it connects and cannot change it afterwards.
enum GDBArchitecture: String, CaseIterable, Sendable {
    case i8086, i386
    case amd64 = "x86-64"

    /// As gdb calls it.
    var name: String { self == .amd64 ? "i386:x86-64" : rawValue }
    var is64: Bool { self == .amd64 }
}

/// The registers of a target description, in its order, and what each is among those of the debugger.
///
/// Source: *Debugging with GDB*, appendix "Target Descriptions", "i386 Features": names, order and types of the features that gdb knows.
struct GDBRegisters: Sendable {
    enum Source: Equatable, Sendable {
        case general(Int)
        /// The next instruction.
        case pc
        case flags
        /// ES CS SS DS FS GS LDTR TR.
        case selector(Int), base(Int)
        case tableBase(gdt: Bool), tableLimit(gdt: Bool)
        /// By name, as the debugger has them.
        case control(String), debug(String), msr(String)
        case st(Int)
        case fpuControl, fpuStatus, fpuTag, fpuInstructionSelector, fpuInstructionOffset, fpuDataSelector, fpuDataOffset, fpuOpcode
        /// Lower and upper 128 bits of a vector register.
        case xmm(Int), ymmHigh(Int)
        case mxcsr
    }
    struct Register: Sendable {
        var name: String
        var bits: Int
        var type: String
        var source: Source
        /// By which name the debugger sets it; nil: it cannot be set.
        var setName: String?
    }
    struct Feature: Sendable {
        var name: String
        var types = ""
        var registers: [Register]
    }

    let architecture: GDBArchitecture
    let features: [Feature]
    let all: [Register]
    /// The pc is a linear address: CS's base and the offset.
    var isFlat = true

    init(_ architecture: GDBArchitecture, vectors: Int) {
        self.architecture = architecture
        var features = [GDBRegisters.core(architecture.is64), GDBRegisters.sse(architecture.is64)]
        if vectors > 2 { features.append(GDBRegisters.avx(architecture.is64)) }
        if architecture.is64 { features.append(GDBRegisters.segments) }
        features.append(GDBRegisters.system(architecture.is64))
        self.features = features
        all = features.flatMap(\.registers)
    }

    // MARK: What there is

    private static func core(_ is64: Bool) -> Feature {
        let names = is64 ? ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] : ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
        let numbers = is64 ? [0, 3, 1, 2, 6, 7, 5, 4] : [0, 1, 2, 3, 4, 5, 6, 7], bits = is64 ? 64 : 32
        var registers = zip(names, numbers).map { name, number in
            let isPointer = name.hasSuffix("sp") || name.hasSuffix("bp")
            return Register(name: name, bits: bits, type: isPointer ? "data_ptr" : "int\(bits)", source: .general(number), setName: name)
        }
        if is64 { registers += (8..<16).map { Register(name: "r\($0)", bits: 64, type: "int64", source: .general($0), setName: "r\($0)") } }
        registers.append(Register(name: is64 ? "rip" : "eip", bits: bits, type: "code_ptr", source: .pc, setName: is64 ? "rip" : "eip"))
        registers.append(Register(name: "eflags", bits: 32, type: "i386_eflags", source: .flags, setName: "eflags"))
        for (name, number) in [("cs", 1), ("ss", 2), ("ds", 3), ("es", 0), ("fs", 4), ("gs", 5)] {
            registers.append(Register(name: name, bits: 32, type: "int32", source: .selector(number), setName: name))
        }
        registers += (0..<8).map { Register(name: "st\($0)", bits: 80, type: "i387_ext", source: .st($0)) }
        let fpu: [(String, Source)] = [
            ("fctrl", .fpuControl), ("fstat", .fpuStatus), ("ftag", .fpuTag), ("fiseg", .fpuInstructionSelector), ("fioff", .fpuInstructionOffset),
            ("foseg", .fpuDataSelector), ("fooff", .fpuDataOffset), ("fop", .fpuOpcode),
        ]
        registers += fpu.map { Register(name: $0.0, bits: 32, type: "int", source: $0.1) }
        let flags = [
            "CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF", "", "", "NT", "", "RF", "VM", "AC", "VIF", "VIP", "ID",
        ]
        var type = "<flags id=\"i386_eflags\" size=\"4\">"
        for (bit, name) in flags.enumerated() where !name.isEmpty { type += "<field name=\"\(name)\" start=\"\(bit)\" end=\"\(bit)\"/>" }
        return Feature(name: "org.gnu.gdb.i386.core", types: type + "</flags>", registers: registers)
    }

    private static let vectorTypes: String = {
        let parts = [
            ("v4f", "ieee_single", 4), ("v2d", "ieee_double", 2), ("v16i8", "int8", 16), ("v8i16", "int16", 8), ("v4i32", "int32", 4),
            ("v2i64", "int64", 2),
        ]
        var text = parts.map { "<vector id=\"\($0.0)\" type=\"\($0.1)\" count=\"\($0.2)\"/>" }.joined()
        text += "<union id=\"vec128\">"
        let fields = [
            ("v4_float", "v4f"), ("v2_double", "v2d"), ("v16_int8", "v16i8"), ("v8_int16", "v8i16"), ("v4_int32", "v4i32"), ("v2_int64", "v2i64"),
        ]
        for (name, type) in fields { text += "<field name=\"\(name)\" type=\"\(type)\"/>" }
        return text + "<field name=\"uint128\" type=\"uint128\"/></union>"
    }()

    private static func sse(_ is64: Bool) -> Feature {
        var registers = (0..<(is64 ? 16 : 8)).map { Register(name: "xmm\($0)", bits: 128, type: "vec128", source: .xmm($0)) }
        registers.append(Register(name: "mxcsr", bits: 32, type: "int", source: .mxcsr))
        return Feature(name: "org.gnu.gdb.i386.sse", types: vectorTypes, registers: registers)
    }

    private static func avx(_ is64: Bool) -> Feature {
        Feature(
            name: "org.gnu.gdb.i386.avx",
            registers: (0..<(is64 ? 16 : 8)).map { Register(name: "ymm\($0)h", bits: 128, type: "uint128", source: .ymmHigh($0)) })
    }

    private static let segments = Feature(
        name: "org.gnu.gdb.i386.segments",
        registers: [("fs_base", 4), ("gs_base", 5)].map { Register(name: $0.0, bits: 64, type: "int", source: .base($0.1)) })

    /// What gdb has no names of its own for: in `info registers system`.
    private static func system(_ is64: Bool) -> Feature {
        let bits = is64 ? 64 : 32
        var registers: [Register] = []
        func add(_ name: String, _ source: Source, bits: Int, set: String? = nil) {
            registers.append(Register(name: name, bits: bits, type: "int\(bits)", source: source, setName: set))
        }
        for (name, number) in [("cs", 1), ("ss", 2), ("ds", 3), ("es", 0), ("fs", 4), ("gs", 5)] where !(is64 && number > 3) {
            add(name + "_base", .base(number), bits: bits)
        }
        add("gdt_base", .tableBase(gdt: true), bits: bits)
        add("gdt_limit", .tableLimit(gdt: true), bits: 32)
        add("idt_base", .tableBase(gdt: false), bits: bits)
        add("idt_limit", .tableLimit(gdt: false), bits: 32)
        add("ldtr", .selector(6), bits: 32)
        add("tr", .selector(7), bits: 32)
        add("tr_base", .base(7), bits: bits)
        for name in ["cr0", "cr2", "cr3", "cr4"] + (is64 ? ["cr8"] : []) { add(name, .control(name), bits: bits, set: name) }
        add("efer", .msr("efer"), bits: bits)
        for name in ["dr0", "dr1", "dr2", "dr3", "dr6", "dr7"] { add(name, .debug(name), bits: bits, set: name) }
        return Feature(name: "org.vitrine.x86.system", registers: registers)
    }

    // MARK: The description

    var description: String {
        var text = "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">"
        text += "<architecture>\(architecture.name)</architecture>"
        for feature in features {
            text += "<feature name=\"\(feature.name)\">" + feature.types
            for register in feature.registers {
                text += "<reg name=\"\(register.name)\" bitsize=\"\(register.bits)\" type=\"\(register.type)\""
                if feature.name.hasSuffix(".system") { text += " group=\"system\"" }
                text += "/>"
            }
            text += "</feature>"
        }
        return text + "</target>"
    }

    // MARK: Values

    /// Little-endian bytes of register `n`, as long as its description says.
    func bytes(_ n: Int, of state: DebugRegisters) -> [UInt8] {
        let register = all[n]
        var words: [UInt64]
        switch register.source {
        case .st(let n):
            guard state.fpu.registers.indices.contains(n) else { return [UInt8](repeating: 0, count: 10) }
            words = [state.fpu.registers[n].significand, UInt64(state.fpu.registers[n].signExponent)]
        case .xmm(let n): words = state.vectors.indices.contains(n) ? Array(state.vectors[n].prefix(2)) : []
        case .ymmHigh(let n): words = state.vectors.indices.contains(n) ? Array(state.vectors[n].dropFirst(2).prefix(2)) : []
        default: words = [value(register.source, of: state)]
        }
        let count = register.bits / 8
        while words.count * 8 < count { words.append(0) }
        return (0..<count).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
    }

    private func value(_ source: Source, of state: DebugRegisters) -> UInt64 {
        func named(_ list: [DebugRegisters.Named], _ name: String) -> UInt64 { list.first { $0.name.lowercased().hasSuffix(name) }?.value ?? 0 }
        let fpu = state.fpu
        switch source {
        case .general(let n): return state.general.indices.contains(n) ? state.general[n] : 0
        case .pc: return isFlat ? state.linear : state.rip
        case .flags: return UInt64(state.eflags)
        case .selector(let n): return state.segments.indices.contains(n) ? UInt64(state.segments[n].selector) : 0
        case .base(let n): return state.segments.indices.contains(n) ? state.segments[n].base : 0
        case .tableBase(let gdt): return gdt ? state.gdtr.base : state.idtr.base
        case .tableLimit(let gdt): return UInt64(gdt ? state.gdtr.limit : state.idtr.limit)
        case .control(let name): return named(state.control, name)
        case .debug(let name): return named(state.debug, name)
        case .msr(let name): return named(state.msrs, name)
        case .fpuControl: return UInt64(fpu.control)
        case .fpuStatus: return UInt64(fpu.status)
        case .fpuTag: return UInt64(fpu.tag)
        case .fpuInstructionSelector: return UInt64(fpu.instructionSelector)
        case .fpuInstructionOffset: return fpu.instructionPointer & 0xFFFF_FFFF
        case .fpuDataSelector: return UInt64(fpu.dataSelector)
        case .fpuDataOffset: return fpu.dataPointer & 0xFFFF_FFFF
        case .fpuOpcode: return UInt64(fpu.opcode)
        case .mxcsr: return UInt64(state.mxcsr)
        case .st, .xmm, .ymmHigh: return 0
        }
    }

    /// All of them, one after the other.
    func all(of state: DebugRegisters) -> [UInt8] { all.indices.flatMap { bytes($0, of: state) } }

    /// What the debugger must be asked for so that register `n` has these bytes; nil: it cannot be set.
    func setting(_ n: Int, to bytes: [UInt8], of state: DebugRegisters) -> DebugQuery? {
        guard all.indices.contains(n), let name = all[n].setName, bytes.count <= 8 else { return nil }
        var value = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if all[n].source == .pc, isFlat, state.segments.count > 1 { value = (value &- state.segments[1].base) & (architecture.is64 ? .max : 0xFFFF_FFFF) }
        if case .selector = all[n].source { value &= 0xFFFF }
        return .setRegister(name: name, value: value, vcpu: state.vcpu)
    }
}
