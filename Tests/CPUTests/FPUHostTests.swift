import Primitives
import Testing

@testable import CPU

/// Single instructions on random states, against the same instruction on the host's x87 with FRSTOR and FNSAVE around it.
@Suite("x87 · whole state against the host, one instruction at a time") struct FPUHostTests {
    /// One routine per encoding: rdi state before, rsi state after, rdx memory operand, rcx EFLAGS in and out.
    struct Bench {
        let code: UInt
        static let stride: UInt = 32
        typealias Routine =
            @convention(c) (UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> Void

        init(_ encodings: [[UInt8]]) {
            var bytes: [UInt8] = []
            for encoding in encodings {
                var routine: [UInt8] = [0xFF, 0x31, 0x9D, 0xDD, 0x27] + encoding  // PUSH [rcx]; POPFQ; FRSTOR [rdi]
                routine += [0x9C, 0x8F, 0x01, 0xDD, 0x36, 0xC3]  // PUSHFQ; POP [rcx]; FNSAVE [rsi]; RET
                bytes += routine + [UInt8](repeating: 0xCC, count: Int(Bench.stride) - routine.count)
            }
            code = ExecutableCode.map(bytes)
        }

        func run(_ index: Int, _ before: inout [UInt8], _ after: inout [UInt8], _ operand: inout [UInt8], _ flags: inout UInt64) {
            let routine = unsafeBitCast(code + UInt(index) * Bench.stride, to: Routine.self)
            before.withUnsafeMutableBytes { b in
                after.withUnsafeMutableBytes { a in
                    operand.withUnsafeMutableBytes { o in
                        withUnsafeMutableBytes(of: &flags) { f in
                            routine(b.baseAddress!, a.baseAddress!, o.baseAddress!, f.baseAddress!)
                        }
                    }
                }
            }
        }
    }

    struct Encoding {
        let opcode: UInt8
        let modrm: UInt8
        let mmx: Bool
        var isMemory: Bool { modrm < 0xC0 }
        /// FCOM in all its forms, and FTST: with an unmasked exception AMD sets the conditions, Intel does not.
        var isComparison: Bool {
            let reg = modrm >> 3 & 7
            if isMemory { return !mmx && opcode & 1 == 0 && (reg == 2 || reg == 3) }
            if mmx { return false }
            switch opcode {
            case 0xD8, 0xDC, 0xDE: return reg == 2 || reg == 3
            case 0xD9: return modrm == 0xE4
            case 0xDA: return modrm == 0xE9
            case 0xDB, 0xDF: return reg == 5 || reg == 6
            case 0xDD: return reg == 4 || reg == 5
            default: return false
            }
        }
        var name: String { "\(mmx ? "0F " : "")\(opcode.hex) \(modrm.hex)" }
    }

    /// Every defined encoding but those that save or load images.
    static func encodings(_ c: Core) -> [Encoding] {
        var list: [Encoding] = []
        for opcode: UInt8 in 0xD8...0xDF {
            for reg: UInt8 in 0...7 {
                var op = FPURig.op(opcode, reg << 3 | 5, at: 0, wide: true)
                let row = Int(opcode & 7) << 3 | Int(reg)
                let image = [12, 14, 44, 46].contains(row)
                if !image && !c.fpuIsReserved(&op, row) { list.append(Encoding(opcode: opcode, modrm: reg << 3 | 2, mmx: false)) }
                for rm: UInt8 in 0...7 {
                    var op = FPURig.op(opcode, 0xC0 | reg << 3 | rm)
                    if !c.fpuIsReserved(&op, row) { list.append(Encoding(opcode: opcode, modrm: 0xC0 | reg << 3 | rm, mmx: false)) }
                }
            }
        }
        for opcode: UInt8 in 0x60...0xFE where MMX.isDefined(opcode) || [0x6E, 0x6F, 0x7F].contains(opcode) {
            list.append(Encoding(opcode: opcode, modrm: 0x0A, mmx: true))
            if opcode != 0x6E { list.append(Encoding(opcode: opcode, modrm: 0xCA, mmx: true)) }
        }
        list.append(Encoding(opcode: 0x77, modrm: 0x90, mmx: true))  // EMMS; 90 is a NOP
        return list
    }

    @Test("every encoding leaves the same registers, tags, flags and memory as the host")
    func randomStates() throws {
        let rig = try FPURig()
        let encodings = FPUHostTests.encodings(rig.c)
        let bench = Bench(encodings.map { ($0.mmx ? [0x0F] : []) + [$0.opcode, $0.modrm] })
        #expect(bench.code != 0)
        var g = Seeded(state: 0x1234_5678_9ABC_DEF1)
        var failures = 0
        var seen: Set<String> = []
        var before = [UInt8](repeating: 0, count: 108)
        var after = before
        for round in 0..<FPUHostTests.rounds {
            for (index, encoding) in encodings.enumerated() {
                let state = FPUHostTests.randomState(&g)
                state.image(into: &before)
                var operand = FPUHostTests.randomOperand(&g)
                let operandBefore = operand
                let flagsIn = UInt32(truncatingIfNeeded: g.next()) & EFlags.arithmetic | 0x202
                var flags = UInt64(flagsIn)
                bench.run(index, &before, &after, &operand, &flags)
                let host = FPUImage(after, operand: operand, flags: UInt32(truncatingIfNeeded: flags) & EFlags.arithmetic)

                state.load(rig)
                for i in 0..<16 { rig.store(operandBefore[i], at: 0x2000 + i) }
                rig.c.setArithmeticFlags(flagsIn & EFlags.arithmetic)
                do throws(Fault) {
                    if encoding.mmx {
                        if encoding.isMemory {
                            try rig.mmx(encoding.opcode, encoding.modrm >> 3 & 7, at: 0x2000)
                        } else {
                            try rig.mmx(encoding.opcode, encoding.modrm)
                        }
                    } else if encoding.isMemory {
                        try rig.fpu(encoding.opcode, encoding.modrm >> 3 & 7, at: 0x2000)
                    } else {
                        let eax = rig.c.eax
                        try rig.fpu(encoding.opcode, encoding.modrm)
                        rig.c.eax = eax
                    }
                } catch {
                    Issue.record("\(encoding.name): fault \(error)")
                    return
                }
                let guest = FPUImage(rig)
                let difference = guest.difference(host, encoding)
                if let difference {
                    failures += 1
                    if failures <= 60 && seen.insert("\(encoding.opcode.hex)\(encoding.modrm >> 3)\(difference.prefix(6))").inserted {
                        let start = FPUImage(before, operand: operandBefore, flags: flagsIn & EFlags.arithmetic)
                        Issue.record("round \(round) \(encoding.name): \(difference)\n before \(start)\n guest  \(guest)\n host   \(host)")
                    }
                }
            }
        }
        #expect(failures == 0)
    }

    static let rounds = 100

    static func randomOperand(_ g: inout Seeded) -> [UInt8] {
        var low = g.next()
        var high = g.next()
        switch g.next() % 8 {
        case 0: low = F80.random(&g).toDouble(0x37F).bits
        case 1, 2:
            let x = F80.random(&g)
            (low, high) = (x.significand, UInt64(x.signExponent))
        case 3: low = UInt64(F80.random(&g).toSingle(0x37F).bits)
        case 4: low = UInt64(truncatingIfNeeded: Int64(bitPattern: low) >> Int64(high & 63))
        case 5: low = Double(Int64(bitPattern: low) >> Int64(high & 63)).bitPattern
        case 6:
            // Packed decimal digits.
            low = 0
            for _ in 0..<16 { low = low << 4 | g.next() % 10 }
            high = (g.next() % 10) << 4 | g.next() % 10 | (g.next() & 0x8000)
        default:
            low = g.next() & 0x800F_FFFF_8000_FFFF
        }
        return (0..<8).map { UInt8(truncatingIfNeeded: low >> (8 * $0)) } + (0..<8).map { UInt8(truncatingIfNeeded: high >> (8 * $0)) }
    }

    struct State {
        var control: UInt16
        var status: UInt16
        var empty: UInt8
        /// Physical order.
        var registers: [F80]

        func image(into bytes: inout [UInt8]) {
            var tags: UInt16 = 0
            for n in 0..<8 where empty >> UInt8(n) & 1 != 0 { tags |= 3 << UInt16(2 * n) }
            for i in 0..<28 { bytes[i] = 0 }
            func put(_ value: UInt64, _ at: Int, _ count: Int) {
                for i in 0..<count { bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
            }
            put(UInt64(control), 0, 2)
            put(UInt64(status), 4, 2)
            put(UInt64(tags), 8, 2)
            let top = Int(status >> 11 & 7)
            for i in 0..<8 {
                put(registers[(top + i) & 7].significand, 28 + 10 * i, 8)
                put(UInt64(registers[(top + i) & 7].signExponent), 36 + 10 * i, 2)
            }
        }

        func load(_ rig: FPURig) {
            rig.c.v.pointee.fpu.status = status & ~0x3800
            rig.c.v.pointee.fpu.top = UInt8(status >> 11 & 7)
            rig.c.v.pointee.fpu.empty = empty
            for n in 0..<8 {
                rig.c.v.pointee.fpu.significand[n] = registers[n].significand
                rig.c.v.pointee.fpu.signExponent[n] = registers[n].signExponent
            }
            rig.control = control
        }
    }

    static func randomState(_ g: inout Seeded) -> State {
        var control = UInt16(truncatingIfNeeded: g.next()) & 0x0F00 | 0x7F
        if g.next() % 3 == 0 { control = 0x037F }
        if g.next() % 3 == 0 { control &= ~UInt16(g.next() & 0x3F) }
        if control & 0x300 == 0x100 { control ^= 0x100 }
        var status = UInt16(truncatingIfNeeded: g.next()) & 0x7F7F
        status &= ~0x3F | control & 0x3F
        if g.next() & 1 == 0 { status &= 0x3800 }
        let empty: UInt8
        switch g.next() % 4 {
        case 0: empty = UInt8(truncatingIfNeeded: g.next())
        case 1: empty = 0
        default:
            // Two or three registers in use from TOP on.
            let top = UInt8(status >> 11 & 7)
            let used: UInt8 = g.next() & 1 == 0 ? 0b111 : 0b11
            empty = ~(used << top | (top == 0 ? 0 : used >> (8 - top)))
        }
        return State(control: control, status: status, empty: empty, registers: (0..<8).map { _ in F80.random(&g) })
    }
}

/// What a state image says, for comparison.
struct FPUImage: CustomStringConvertible {
    var control: UInt16
    var status: UInt16
    var empty: UInt8
    /// Stack order.
    var registers: [F80]
    var operand: [UInt8]
    var flags: UInt32

    init(_ bytes: [UInt8], operand: [UInt8], flags: UInt32) {
        func get(_ at: Int, _ count: Int) -> UInt64 { (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) } }
        control = UInt16(get(0, 2))
        status = UInt16(get(4, 2))
        let tags = UInt16(get(8, 2))
        empty = 0
        for n in 0..<8 where tags >> UInt16(2 * n) & 3 == 3 { empty |= 1 << UInt8(n) }
        registers = (0..<8).map { F80(get(28 + 10 * $0, 8), UInt16(get(36 + 10 * $0, 2))) }
        self.operand = operand
        self.flags = flags
    }

    init(_ rig: FPURig) {
        control = rig.control
        status = rig.status
        empty = rig.c.v.pointee.fpu.empty
        registers = (0..<8).map { rig.c.st($0) }
        operand = (0..<16).map { rig.load(0x2000 + $0, UInt8.self) }
        flags = rig.c.eflags & EFlags.arithmetic
    }

    func difference(_ host: FPUImage, _ encoding: FPUHostTests.Encoding) -> String? {
        var masked: UInt16 = 0
        if encoding.isComparison && status & FSW.es != 0 { masked = FSW.unordered }
        if control != host.control { return "control" }
        if (status ^ host.status) & ~masked != 0 { return "status \(status.hex) host \(host.status.hex) xor \((status ^ host.status).hex)" }
        if empty != host.empty { return "tags" }
        if registers != host.registers { return "registers" }
        if operand != host.operand { return "memory" }
        if flags != host.flags && masked == 0 { return "EFLAGS" }
        return nil
    }

    var description: String {
        "FCW \(control.hex) FSW \(status.hex) empty \(String(empty, radix: 2)) fl \(flags.hex) "
            + registers.prefix(3).map { "\($0.signExponent.hex):\($0.significand.hex)" }.joined(separator: " ")
            + " mem " + operand.prefix(10).reversed().map { $0.hex }.joined()
    }
}
