import Glibc

/// Operations that the host's own x87 performs for the guest. The raw value is the row in `HostFPU.rows`.
///
/// Arithmetic and comparison have 8 rows per operand form, in the order of the ModR/M reg field; slot 3 of the register form is FUCOM.
struct HostOperation: RawRepresentable, Equatable, Sendable {
    let rawValue: Int
    @inline(__always) init(rawValue: Int) { self.rawValue = rawValue }

    /// `reg` 0 add, 1 multiply, 2 compare, 4 subtract, 5 reverse subtract, 6 divide, 7 reverse divide; both operands in registers.
    @inline(__always) static func arithmetic(_ reg: Int) -> HostOperation { HostOperation(rawValue: reg & 7) }
    /// The same with a memory operand of the given format.
    @inline(__always) static func arithmetic(_ reg: Int, _ format: F80.Memory) -> HostOperation {
        HostOperation(rawValue: 8 &* (1 &+ format.rawValue) &+ (reg & 7))
    }

    static let compareQuiet = HostOperation(rawValue: 3)
    static let loadSingle = HostOperation(rawValue: 40), loadDouble = HostOperation(rawValue: 41), loadBCD = HostOperation(rawValue: 42)
    static let storeSingle = HostOperation(rawValue: 43), storeDouble = HostOperation(rawValue: 44)
    static let storeWord = HostOperation(rawValue: 45), storeInteger = HostOperation(rawValue: 46)
    static let storeLong = HostOperation(rawValue: 47), storeBCD = HostOperation(rawValue: 48)
    static let squareRoot = HostOperation(rawValue: 49), roundToInteger = HostOperation(rawValue: 50)
    static let sine = HostOperation(rawValue: 51), cosine = HostOperation(rawValue: 52), f2xm1 = HostOperation(rawValue: 53)
    static let test = HostOperation(rawValue: 54)
    static let fprem = HostOperation(rawValue: 55), fprem1 = HostOperation(rawValue: 56), fscale = HostOperation(rawValue: 57)
    static let fyl2x = HostOperation(rawValue: 58), fyl2xp1 = HostOperation(rawValue: 59), fpatan = HostOperation(rawValue: 60)
    static let fptan = HostOperation(rawValue: 61), fsincos = HostOperation(rawValue: 62), fxtract = HostOperation(rawValue: 63)
}

/// What a thunk reads and writes. The machine code below addresses the fields by displacement: 10-byte images at 0, 16, 32 and 48.
struct HostOperands {
    /// ST(0) before. Displacement 0.
    var a: UInt64 = 0
    var aSignExponent: UInt64 = 0
    /// ST(1) before, or the memory operand (read or written). Displacement 16.
    var b: UInt64 = 0
    var bSignExponent: UInt64 = 0
    /// ST(0) after. Displacement 32.
    var r: UInt64 = 0
    var rSignExponent: UInt64 = 0
    /// ST(1) after. Displacement 48.
    var s: UInt64 = 0
    var sSignExponent: UInt64 = 0
    /// Guest control word, with its exception masks. Displacement 64.
    var control: UInt64
    /// Status word after the operation, all exception flags clear before it. Displacement 72.
    var status: UInt64 = 0
    /// What the routine leaves in the host's control word. Displacement 80.
    var hostControl = UInt64(HostFPU.hostControl)

    init(control: UInt16) { self.control = UInt64(control) }

    var x: F80 {
        get { F80(a, UInt16(truncatingIfNeeded: aSignExponent)) }
        set { (a, aSignExponent) = (newValue.significand, UInt64(newValue.signExponent)) }
    }
    var y: F80 {
        get { F80(b, UInt16(truncatingIfNeeded: bSignExponent)) }
        set { (b, bSignExponent) = (newValue.significand, UInt64(newValue.signExponent)) }
    }
    var result: F80 { F80(r, UInt16(truncatingIfNeeded: rSignExponent)) }
    var second: F80 { F80(s, UInt16(truncatingIfNeeded: sSignExponent)) }
}

/// The host's x87 as an arithmetic unit: one small routine per operation in an executable page.
///
/// A routine loads the guest's control word with its masks, the operands, performs the operation, stores the status word and the results,
/// and leaves the host's x87 with no flags set, no register in use and control word 0x037F (which is what the System V ABI starts a
/// process with; loading a control word costs more than most operations, so a guest that uses this very value is spared it). C0–C3 and
/// TOP are left as they come. An unmasked exception stays pending until the next *waiting* instruction (SDM Vol. 1, "x87 FPU
/// Exception Synchronization"); the routine reads
/// the status with FNSTSW and discards it with FNCLEX, which do not wait, so no SIGFPE arises and the unmasked response itself, the scaled
/// result of #O and #U included, is the processor's own.
///
/// The page comes from a memfd that is mapped twice, once writable and once executable, never both.
///
/// Not implemented: any other host than x86-64. The last bits of FSIN, FCOS, FPTAN, FPATAN, F2XM1, FYL2X and FYL2XP1 are the
/// host's: processors of different makers differ there.
public enum HostFPU {
    /// False when the host refuses executable memory: every operation that needs the host then answers #IA with the indefinite.
    public static var isAvailable: Bool { code != 0 }

    private typealias Routine = @convention(c) (UnsafeMutableRawPointer) -> Void

    static let stride = 80
    static let hostControl: UInt16 = 0x037F
    /// Address of the first routine, 0: none.
    private static let code: UInt = makeCode()

    @inline(never)
    static func run(_ operation: HostOperation, _ operands: inout HostOperands) {
        let start = code
        guard start != 0, let entry = UnsafeRawPointer(bitPattern: start &+ UInt(operation.rawValue &* stride)) else {
            (operands.r, operands.rSignExponent) = (F80.indefinite.significand, UInt64(F80.indefinite.signExponent))
            (operands.s, operands.sSignExponent) = (operands.r, operands.rSignExponent)
            operands.status = UInt64(FSW.ie)
            return
        }
        withUnsafeMutableBytes(of: &operands) { unsafeBitCast(entry, to: Routine.self)($0.baseAddress.unsafelyUnwrapped) }
    }

    // MARK: Generation

    /// Which operands a routine loads before the instruction, so that two results can be stored whatever it pushed or popped.
    private enum Shape {
        /// A zero, ST(1), ST(0).
        static let binary: UInt8 = 0
        /// Two zeros, ST(0).
        static let unary: UInt8 = 1
        /// Two zeros.
        static let load: UInt8 = 2
    }

    /// Shape and instruction (2 or 3 bytes, the third 0 when unused; memory operands are [rdi+16], ModR/M xx_xxx_111 with disp8).
    private static func rows() -> [UInt8] {
        var rows: [UInt8] = []
        for reg: UInt8 in 0...7 { rows += reg == 3 ? [Shape.binary, 0xDD, 0xE1, 0] : [Shape.binary, 0xD8, 0xC1 | reg << 3, 0] }
        // Memory forms: m32 D8, m64 DC, m32int DA, m16int DE. The comparing form that pops (slot 3) is not used.
        for opcode: UInt8 in [0xD8, 0xDC, 0xDA, 0xDE] {
            for reg: UInt8 in 0...7 { rows += [Shape.unary, opcode, 0x47 | reg << 3, 16] }
        }
        rows += [
            Shape.load, 0xD9, 0x47, 16, Shape.load, 0xDD, 0x47, 16, Shape.load, 0xDF, 0x67, 16,  // FLD m32, m64, FBLD
            Shape.unary, 0xD9, 0x57, 16, Shape.unary, 0xDD, 0x57, 16,  // FST m32, m64
            Shape.unary, 0xDF, 0x57, 16, Shape.unary, 0xDB, 0x57, 16,  // FIST m16, m32
            Shape.unary, 0xDF, 0x7F, 16, Shape.unary, 0xDF, 0x77, 16,  // FISTP m64, FBSTP
            Shape.unary, 0xD9, 0xFA, 0, Shape.unary, 0xD9, 0xFC, 0,  // FSQRT FRNDINT
            Shape.unary, 0xD9, 0xFE, 0, Shape.unary, 0xD9, 0xFF, 0, Shape.unary, 0xD9, 0xF0, 0,  // FSIN FCOS F2XM1
            Shape.unary, 0xD9, 0xE4, 0,  // FTST
            Shape.binary, 0xD9, 0xF8, 0, Shape.binary, 0xD9, 0xF5, 0, Shape.binary, 0xD9, 0xFD, 0,  // FPREM FPREM1 FSCALE
            Shape.binary, 0xD9, 0xF1, 0, Shape.binary, 0xD9, 0xF9, 0, Shape.binary, 0xD9, 0xF3, 0,  // FYL2X FYL2XP1 FPATAN
            Shape.unary, 0xD9, 0xF2, 0, Shape.unary, 0xD9, 0xFB, 0, Shape.unary, 0xD9, 0xF4, 0,  // FPTAN FSINCOS FXTRACT
        ]
        return rows
    }

    static func machineCode() -> [UInt8] {
        let rows = rows()
        var bytes: [UInt8] = []
        for row in Swift.stride(from: 0, to: rows.count, by: 4) {
            // FNSTSW AX; TEST AL, 3F; JZ +2; FNCLEX: flags left by other code would become pending with the guest's masks.
            var routine: [UInt8] = [0xDF, 0xE0, 0xA8, 0x3F, 0x74, 0x02, 0xDB, 0xE2]
            routine += [0xD9, 0xEE]  // FLDZ
            if rows[row] != Shape.binary { routine += [0xD9, 0xEE] }
            // CMP WORD [rdi+64], 037F; JE +3; FLDCW [rdi+64]
            routine += [0x66, 0x81, 0x7F, 64, 0x7F, 0x03, 0x74, 0x03, 0xD9, 0x6F, 64]
            if rows[row] == Shape.binary { routine += [0xDB, 0x6F, 16] }  // FLD tbyte [rdi+16]
            if rows[row] != Shape.load { routine += [0xDB, 0x2F] }  // FLD tbyte [rdi]
            routine += [rows[row + 1], rows[row + 2]]
            if rows[row + 3] != 0 { routine.append(rows[row + 3]) }
            // FNSTSW AX; MOV [rdi+72], AX; TEST AL, 3F; JZ +2; FNCLEX
            routine += [0xDF, 0xE0, 0x66, 0x89, 0x47, 72, 0xA8, 0x3F, 0x74, 0x02, 0xDB, 0xE2]
            routine += [0xDB, 0x7F, 32, 0xDB, 0x7F, 48]  // FSTP tbyte [rdi+32]; FSTP tbyte [rdi+48]
            routine += [0xDD, 0xC0, 0xDD, 0xC1]  // FFREE ST(0); FFREE ST(1): one or two registers are left
            // CMP WORD [rdi+64], 037F; JE +3; FLDCW [rdi+80]; RET
            routine += [0x66, 0x81, 0x7F, 64, 0x7F, 0x03, 0x74, 0x03, 0xD9, 0x6F, 80, 0xC3]
            routine += [UInt8](repeating: 0xCC, count: stride - routine.count)
            bytes += routine
        }
        return bytes
    }

    private static func makeCode() -> UInt {
        #if arch(x86_64)
            ExecutableCode.map(machineCode())
        #else
            0
        #endif
    }
}

/// Makes bytes executable: written through one mapping of an anonymous file, executed through another.
enum ExecutableCode {
    /// Address of the read-and-execute mapping, which lives as long as the process; 0 when the host refuses.
    static func map(_ bytes: [UInt8]) -> UInt {
        let length = (bytes.count + 4095) & ~4095
        guard let area = area(length) else { return 0 }
        bytes.withUnsafeBytes { area.writable.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: bytes.count) }
        munmap(area.writable, length)
        return area.executable
    }

    /// Both mappings of a new area of whole pages; nil when the host refuses.
    static func area(_ length: Int) -> (writable: UnsafeMutableRawPointer, executable: UInt)? {
        #if arch(x86_64)
            typealias Create = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
            // `memfd_create` is not visible through the Glibc module (it wants _GNU_SOURCE).
            guard length > 0, let symbol = dlsym(nil, "memfd_create") else { return nil }
            let file = "vitrine-code".withCString { unsafeBitCast(symbol, to: Create.self)($0, 1) }
            guard file >= 0 else { return nil }
            defer { close(file) }
            guard ftruncate(file, length) == 0,
                let writable = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), writable != MAP_FAILED
            else { return nil }
            guard let executable = mmap(nil, length, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0), executable != MAP_FAILED else {
                munmap(writable, length)
                return nil
            }
            return (writable, UInt(bitPattern: executable))
        #else
            return nil
        #endif
    }
}
