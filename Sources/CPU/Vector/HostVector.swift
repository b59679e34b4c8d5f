import Glibc

/// The host's SIMD unit as a calculator: one small routine for each instruction, made when it is first met.
///
/// A routine loads the operands into registers 1 (reg), 2 (vvvv), 3 (r/m), 4 (immediate bits 7–4) and 0 (implied XMM0), runs the very
/// instruction with the guest's opcode, VEX fields and immediate but its own registers, and stores the result. Floating-point routines load
/// MXCSR from a word in memory before and store it there after; the host's own value comes back only when rounding, DAZ, FZ or a mask
/// differed from it (sticky flags disturb nobody). The word always has all exceptions masked, so that no SIGFPE arises.
///
/// All routines together have room in the area, so none is ever thrown away, and an operation may keep its address for good. The
/// area is a memfd that is mapped twice, once writable and once executable, never both.
///
/// Not implemented: any other host than x86-64. RCPPS, RSQRTPS and their scalar forms approximate as the host does.
enum HostVector {
    /// Destination, second operand (vvvv or XMM0), third operand (r/m), MXCSR word or fourth operand or general registers; the result is a general
    /// register or flags (AH: SF ZF AF PF CF as LAHF has them, AL: OF).
    typealias Routine = @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> UInt64

    static var isAvailable: Bool { area.executable != 0 }

    /// What the routine depends on besides the row.
    struct Variant {
        var row: VectorRow
        var vex = false
        var long = false
        /// REX.W or VEX.W.
        var wide = false
        var immediate: UInt8 = 0
        /// Bytes of the r/m operand in memory: a 256-bit instruction may have a 128-bit one.
        var memoryBytes = 16
    }

    /// Address of the routine, made at need; 0: the host gives no executable memory.
    static func routine(form: Int, _ variant: Variant) -> UInt {
        let bits = (variant.vex ? 1 : 0) | (variant.long ? 2 : 0) | (variant.wide ? 4 : 0)
        let key = UInt64(form) << 16 | UInt64(bits) << 8 | UInt64(variant.row.hasImmediate ? variant.immediate : 0)
        return area.find(key) { code(variant) }
    }

    /// CRC32, PDEP, PEXT of general registers: x and y are the operands (in the order of the manual's sources), the answer is the result.
    typealias Scalar = @convention(c) (UInt64, UInt64) -> UInt64

    static func scalar(_ action: VectorAction, _ bytes: Int) -> UInt {
        area.find(1 << 63 | UInt64(action.rawValue) << 8 | UInt64(bytes)) {
            switch action {
            // MOV RAX, RDI; CRC32 EAX or RAX, SIL SI ESI RSI
            case .crc32:
                [0x48, 0x89, 0xF8]
                    + (bytes == 1
                        ? [0xF2, 0x40, 0x0F, 0x38, 0xF0, 0xC6]
                        : bytes == 2
                            ? [0x66, 0xF2, 0x0F, 0x38, 0xF1, 0xC6] : bytes == 4 ? [0xF2, 0x0F, 0x38, 0xF1, 0xC6] : [0xF2, 0x48, 0x0F, 0x38, 0xF1, 0xC6])
                    + [0xC3]
            // PDEP RAX, RDI, RSI; PEXT RAX, RDI, RSI. With operands of 32 bits the upper halves are 0.
            default: [0xC4, 0xE2, action == .pdep ? 0xC3 : 0xC2, 0xF5, 0xC6, 0xC3]
            }
        }
    }

    /// Fixed code, made once.
    static func fixed(_ code: [UInt8], _ number: UInt64) -> UInt { area.find(1 << 62 | number) { code } }

    private static let area = Area()

    // MARK: Code

    /// `opcode` with a register operand in the reg field and the operand `[base]`.
    private static func move(_ opcode: [UInt8], _ register: UInt8, _ base: UInt8) -> [UInt8] { opcode + [register << 3 | base] }

    private static let rdi: UInt8 = 7, rsi: UInt8 = 6, rdx: UInt8 = 2, rcx: UInt8 = 1

    static func code(_ v: Variant) -> [UInt8] {
        let row = v.row
        let short: [UInt8] = v.vex ? [0xC5, 0xFA, 0x6F] : [0x0F, 0x10]
        let full: [UInt8] = v.long ? [0xC5, 0xFE, 0x6F] : short
        let source = v.memoryBytes >= 32 ? full : short
        var code: [UInt8] = []
        let shift = row.isShiftGroup
        switch row.action {
        case .stringMask, .stringIndex: return stringCode(v)
        case .halfStore: code += move(full, 1, rdi)
        case .flags:
            code += move(full, 1, rdi)
            code += move(source, 3, rdx)
        case .toGeneral: code += move(v.long ? full : short, 3, rdx)
        case .fromGeneral:
            code += v.vex ? move(short, 2, rsi) : move(short, 1, rdi)
            code += [0x48, 0x8B, 0x02]  // MOV RAX, [RDX]
        default:
            if !v.vex || row.readsDestination { code += move(full, 1, rdi) }
            if v.vex && row.has("H") && !shift { code += move(full, 2, rsi) }
            if row.has("Z") { code += move(short, 0, rsi) }
            if !shift || v.vex { code += move(source, 3, rdx) }
            if row.has("L") { code += move(full, 4, rcx) }
        }
        if row.isFloat { code += [0x0F, 0xAE, 0x11] }  // LDMXCSR [RCX]
        code += instruction(v)
        if row.isFloat { code += [0x0F, 0xAE, 0x19] }  // STMXCSR [RCX]
        switch row.action {
        case .flags: code += [0x9F, 0x0F, 0x90, 0xC0, 0x0F, 0xB7, 0xC0]  // LAHF; SETO AL; MOVZX EAX, AX
        case .toGeneral: break
        case .halfStore: code += move([0xC5, 0xFA, 0x7F], 3, rdx)
        default: code += move(v.vex ? [0xC5, 0xFE, 0x7F] : [0x0F, 0x11], 1, rdi)
        }
        if row.isFloat {
            // MOV R8D, [RCX]; AND R8D, ~3F; CMP R8D, 1F80; JE; PUSH 1F80; LDMXCSR [RSP]; POP R8
            code += [0x44, 0x8B, 0x01, 0x41, 0x83, 0xE0, 0xC0, 0x41, 0x81, 0xF8, 0x80, 0x1F, 0, 0, 0x74, 11]
            code += [0x68, 0x80, 0x1F, 0, 0, 0x0F, 0xAE, 0x14, 0x24, 0x41, 0x58]
        }
        if v.long { code += [0xC5, 0xF8, 0x77] }  // VZEROUPPER
        return code + [0xC3]
    }

    /// The instruction on the routine's registers.
    private static func instruction(_ v: Variant) -> [UInt8] {
        let row = v.row
        var (prefix, map, opcode) = (row.prefix, row.map, row.opcode)
        if let alias = row.alias {
            (prefix, map, opcode) = alias
        } else if row.exceptions == "M" {
            prefix = 1
        }
        var immediate = v.immediate
        if row.has("L") { immediate = 4 << 4 | immediate & 15 }
        let register: UInt8
        let rm: UInt8
        switch row.action {
        case .toGeneral: (register, rm) = (0, 3)
        case .fromGeneral: (register, rm) = (1, 0)
        default:
            if row.isShiftGroup { (register, rm) = (UInt8(row.digit), v.vex ? 3 : 1) } else { (register, rm) = (1, 3) }
        }
        var code: [UInt8]
        if v.vex {
            let vvvv: UInt8 = row.isShiftGroup ? 1 : row.usesVVVV ? 2 : 0
            code = [0xC4, 0xE0 | map, (v.wide ? 0x80 : 0) | (~vvvv & 15) << 3 | (v.long ? 4 : 0) | prefix, opcode]
        } else {
            code = prefix == 0 ? [] : [[0x66, 0xF3, 0xF2][Int(prefix) - 1]]
            if v.wide { code.append(0x48) }
            code += map == 1 ? [0x0F, opcode] : [0x0F, map == 2 ? 0x38 : 0x3A, opcode]
        }
        code.append(0xC0 | register << 3 | rm)
        if row.hasImmediate { code.append(immediate) }
        return code
    }

    /// PCMPxSTRx: RAX and RDX at [RCX+16] and [RCX+24] go in; RCX comes out at [RCX+16], XMM0 at [RCX+32].
    private static func stringCode(_ v: Variant) -> [UInt8] {
        var code = move([0x0F, 0x10], 1, rdi) + move([0x0F, 0x10], 3, rdx)
        code += [0x49, 0x89, 0xC9, 0x49, 0x8B, 0x41, 16, 0x49, 0x8B, 0x51, 24]  // MOV R9, RCX; MOV RAX, [R9+16]; MOV RDX, [R9+24]
        var plain = v
        plain.vex = false
        code += instruction(plain)
        // MOV [R9+16], RCX; MOVUPS [R9+32], XMM0; LAHF; SETO AL; MOVZX EAX, AX; RET
        code += [0x49, 0x89, 0x49, 16, 0x41, 0x0F, 0x11, 0x41, 32, 0x9F, 0x0F, 0x90, 0xC0, 0x0F, 0xB7, 0xC0, 0xC3]
        return code
    }

    // MARK: Area

    /// Routines by key. Threads may ask at the same time.
    private final class Area: @unchecked Sendable {
        /// Room for every routine that there can be: some 180 of 256 immediates, 1,100 without one, at most 96 bytes each.
        static let bytes = 6 << 20
        let executable: UInt
        private let writable: UnsafeMutableRawPointer?
        private var used = 0
        private var known: [UInt64: UInt] = [:]
        private let lock: UnsafeMutablePointer<pthread_mutex_t>

        init() {
            lock = .allocate(capacity: 1)
            lock.initialize(to: pthread_mutex_t())
            pthread_mutex_init(lock, nil)
            let mapped = ExecutableCode.area(Area.bytes)
            (executable, writable) = (mapped?.executable ?? 0, mapped?.writable)
        }

        func find(_ key: UInt64, _ make: () -> [UInt8]) -> UInt {
            guard let writable else { return 0 }
            pthread_mutex_lock(lock)
            defer { pthread_mutex_unlock(lock) }
            if let address = known[key] { return address }
            let code = make()
            // Instructions are fetched in pieces of 32 bytes.
            let room = (code.count + 31) & ~31
            guard used + room <= Area.bytes else { return 0 }
            code.withUnsafeBytes { (writable + used).copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: code.count) }
            let address = executable + UInt(used)
            used += room
            known[key] = address
            return address
        }
    }
}
