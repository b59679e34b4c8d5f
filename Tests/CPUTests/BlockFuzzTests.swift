import Foundation
import Primitives
import Testing

@testable import CPU

/// Random blocks of integer, x87, MMX, SSE, AVX and string instructions, as loops, in 32- and 64-bit code with hostile segments, pages and control
/// registers: translated they end as interpreted, and nothing around RAM, state block and code is touched.
///
/// VITRINE_BLOCKS: blocks to run (default 4,000). VITRINE_BLOCKS_SEED: default 1; a difference names the seed that shows it alone.
@Suite("cpu · random blocks", .serialized)
struct BlockFuzzTests {
    @Test(.timeLimit(.minutes(600))) func `translated blocks end as interpreted ones and touch nothing else`() throws {
        let environment = ProcessInfo.processInfo.environment
        let wanted = environment["VITRINE_BLOCKS"].flatMap { Int($0) } ?? 4_000
        let seed = environment["VITRINE_BLOCKS_SEED"].flatMap { UInt64($0) } ?? 1
        let isAble = CPUFeatures.host.isSuperset(of: CPUModel.level3.features.intersection(.needHost))
        let model: CPUModel = isAble ? .level3 : .level1
        var failures: [String] = []
        var direct: UInt64 = 0, retired: UInt64 = 0
        for mode in [VectorRig.Mode.long, .protected] {
            let plain = try VectorRig(model: model, mode: mode)
            let translated = try VectorRig(model: model, mode: mode, translation: TranslationSettings(threshold: 1, codeBytes: 1 << 20))
            let canary = Canary(translated)
            for n in 0..<(wanted + 1) / 2 {
                let own = seed &+ UInt64(n) &* 0x9E37_79B9
                let block = RandomBlock(seed: own, mode: mode, features: model.features)
                let (a, b) = (block.run(on: plain), block.run(on: translated))
                retired += b.state.retired
                if a != b, failures.count < 5 { failures.append("seed \(own), \(mode): \(block.text)\n\(Outcome.difference(a, b))") }
                if let touched = canary.touched { failures.append("seed \(own), \(mode): \(touched)\n\(block.text)") }
                if failures.count >= 5 { break }
            }
            direct += translated.processor.translationStatistics?.direct ?? 0
        }
        #expect(failures.isEmpty, Comment(rawValue: failures.joined(separator: "\n")))
        // Or it tests nothing.
        #expect(failures.count > 0 || direct * 4 > retired, "\(direct) of \(retired) instructions ran as host code")
        print("Random blocks: \(wanted) from seed \(seed), \(direct) of \(retired) instructions as host code")
    }
}

/// What a block came to.
struct Outcome: Equatable {
    var digest: String
    var exits: [EngineExit]
    var state: VCPU
    var eflags: UInt32

    static func == (a: Outcome, b: Outcome) -> Bool { a.digest == b.digest && a.exits == b.exits }

    private var fields: [(String, UInt64)] {
        let (s, f) = (state, state.fpu)
        var all = (0..<16).map { ("gpr\($0)", s.gpr[$0]) } + (0..<64).map { ("vector \($0 / 4).\($0 % 4)", s.vector[$0]) }
        all += (0..<8).map { ("r\($0)", f.significand[$0]) } + (0..<8).map { ("r\($0) exponent", UInt64(f.signExponent[$0])) }
        all += [("control", UInt64(f.control)), ("status", UInt64(f.status)), ("top", UInt64(f.top)), ("empty", UInt64(f.empty))]
        all += [("fop", UInt64(f.opcode)), ("fip", f.instructionPointer), ("fcs", UInt64(f.instructionSelector))]
        all += [("fdp", f.dataPointer), ("fds", UInt64(f.dataSelector)), ("mxcsr", UInt64(s.mxcsr)), ("rip", s.rip), ("retired", s.retired)]
        return all + [("eflags", UInt64(eflags)), ("cr2", s.cr2)]
    }

    static func difference(_ a: Outcome, _ b: Outcome) -> String {
        var lines = zip(a.fields, b.fields).filter { $0.1 != $1.1 }.map {
            "  \($0.0): interpreted \(String($0.1, radix: 16)), translated \(String($1.1, radix: 16))"
        }
        if a.exits != b.exits { lines.append("  exits: \(a.exits), \(b.exits)") }
        return lines.isEmpty ? "  memory differs" : lines.joined(separator: "\n")
    }
}

/// What lies around memory, state and code.
private struct Canary {
    private let rig: VectorRig
    /// Between the architectural state and `Transient`; behind RAM.
    private let gap: (start: Int, count: Int)
    private static let pattern: UInt8 = 0xA5

    init(_ rig: VectorRig) {
        self.rig = rig
        gap = (MemoryLayout<VCPU>.size + 64, Core.transientOffset - MemoryLayout<VCPU>.size - 64)
        memset(rig.c.base + gap.start, Int32(Canary.pattern), gap.count)
        memset(rig.memory.base + (4 << 20), Int32(Canary.pattern), 4096)
        memset(rig.c.base + Core.vectorScratchOffset - 256, Int32(Canary.pattern), 200)
    }

    var touched: String? {
        func whole(_ start: UnsafeRawPointer, _ count: Int) -> Bool {
            for n in 0..<count where start.load(fromByteOffset: n, as: UInt8.self) != Canary.pattern { return false }
            return true
        }
        if !whole(rig.c.base + gap.start, gap.count) { return "bytes behind the architectural state are changed" }
        if !whole(rig.memory.base + (4 << 20), 4096) { return "bytes behind RAM are changed" }
        if !whole(rig.c.base + Core.vectorScratchOffset - 256, 200) { return "bytes before the scratch area are changed" }
        return nil
    }
}

/// One loop of random instructions with a random state around it.
struct RandomBlock {
    private(set) var code: [UInt8] = []
    private(set) var instructions: [[UInt8]] = []
    private var random: SplitMix
    private let seed: UInt64
    private let mode: VectorRig.Mode
    private let features: CPUFeatures
    private var encoder = VectorEncoder()
    /// Bytes of the instructions so far.
    private var length = 0
    static let counter: UInt32 = 0x2_0F00, forms = VectorEncoder.forms.filter {
        ![.rdrand, .xgetbv, .xsetbv].contains($0.row.action) && CPUFeatures.host.contains($0.features.intersection(.needHost))
    }

    var text: String { instructions.map { $0.map { String($0, radix: 16) }.joined(separator: " ") }.joined(separator: "; ") }

    init(seed: UInt64, mode: VectorRig.Mode, features: CPUFeatures) {
        (self.seed, self.mode, self.features, random) = (seed, mode, features, SplitMix(seed))
        encoder.random = SplitMix(seed ^ 0x5EED)
        let count = 1 + below(14)
        // Most blocks are of one kind, as programs are.
        let bias = below(6)
        for _ in 0..<count {
            instructions.append(instruction(below(3) == 0 ? below(6) : bias))
            length += instructions[instructions.count - 1].count
        }
        let body = instructions.flatMap { $0 }
        // DEC [counter]; JNZ; HLT
        var tail: [UInt8] = mode == .long ? [0xFF, 0x0C, 0x25] : [0xFF, 0x0D]
        tail += bytes(UInt64(RandomBlock.counter), 4) + [0x0F, 0x85]
        tail += bytes(UInt64(bitPattern: -Int64(body.count + tail.count + 4)), 4) + [0xF4]
        code = body + tail
        instructions.append(tail)
    }

    private mutating func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }
    private func bytes(_ value: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }

    // MARK: Instructions

    private mutating func instruction(_ kind: Int) -> [UInt8] {
        switch kind {
        case 0: integer()
        case 1: x87()
        case 2: mmx()
        case 3, 4: vector()
        default: below(4) == 0 ? string() : vector()
        }
    }

    /// ModR/M with [RSI+disp32], or the address alone (in 64-bit code from RIP), and sometimes a segment prefix before the opcode.
    private mutating func memory(_ opcode: [UInt8], _ reg: Int, _ spread: Int = 96) -> [UInt8] {
        let prefix: [UInt8] = below(12) == 0 ? [[0x26, 0x36, 0x3E, 0x64][below(4)]] : []
        if below(5) == 0 {
            let place = Int(VectorRig.data) + (below(3) == 0 ? 0xFC0 + below(0x60) : below(0x600))
            let from = mode == .long ? Int(VectorRig.code) + length + prefix.count + opcode.count + 5 : 0
            return prefix + opcode + [0x05 | UInt8(reg & 7) << 3] + bytes(UInt64(bitPattern: Int64(place - from)), 4)
        }
        return prefix + opcode + [0x86 | UInt8(reg & 7) << 3] + bytes(UInt64(bitPattern: Int64(below(spread) - spread / 2)), 4)
    }

    private mutating func integer() -> [UInt8] {
        let (r, s) = (below(3), below(3))
        switch below(30) {
        case 20...29: return stackOrCount(r, s)
        case 8: return memory([0x0F, [0xB0, 0xB1, 0xC0, 0xC1][below(4)]], r)
        case 9: return memory([[0x86, 0x87][below(2)]], r)
        case 10: return memory([0x0F, 0xBA], 4 + below(4)) + [UInt8(below(256))]
        case 11: return memory([0x0F, 0xA3 | UInt8(below(4) << 3)], r)
        case 12: return memory([0x0F, [0xBC, 0xBD][below(2)]], r)
        case 13: return memory([[0xC0, 0xC1][below(2)]], [0, 1, 4, 5, 7][below(5)]) + [UInt8(below(40))]
        case 14: return memory([[0x80, 0x83][below(2)]], below(8)) + [UInt8(below(256))]
        case 15: return memory([[0xFE, 0xFF][below(2)]], below(2))
        case 16: return memory([[0xF6, 0xF7][below(2)]], 2 + below(2))
        case 17: return memory([0x0F, [0xB6, 0xB7, 0xBE, 0xBF][below(4)]], r)
        case 18: return [0x0F, [0xA4, 0xAC][below(2)], 0xC0 | UInt8(r << 3 | s), UInt8(below(40))]
        case 19: return [[0xC0, 0xC1][below(2)], 0xC0 | UInt8([0, 1, 4, 5, 7][below(5)] << 3 | s), UInt8(below(40))]
        case 0: return [0x01, 0xC0 | UInt8(r << 3 | s)]
        case 1: return memory([[0x8B, 0x89, 0x03, 0x29, 0x13][below(5)]], r)
        case 2: return [0x0F, 0xAF, 0xC0 | UInt8(r << 3 | s)]
        case 3: return [0x0F, 0x90 | UInt8(below(16)), 0xC0 | UInt8(below(3))]
        case 4: return [0x83, 0xC0 | UInt8(below(8) << 3 | s), UInt8(below(256))]
        case 5: return [0x0F, 0x40 | UInt8(below(16)), 0xC0 | UInt8(r << 3 | s)]
        case 6: return [0x74 | UInt8(below(2)), 2, 0x31, 0xC0 | UInt8(r << 3 | s)]
        default: return [0xD1, 0xE0 | UInt8(s)]
        }
    }

    /// What several operands off one register, and flags that are made again, are about.
    private mutating func stackOrCount(_ r: Int, _ s: Int) -> [UInt8] {
        let wide: [UInt8] = mode == .long ? [0x48] : []
        switch below(11) {
        case 0: return [0x50 | UInt8([0, 1, 2, 3, 4, 5][below(6)])]
        case 1: return [0x58 | UInt8([0, 1, 2, 3, 5][below(5)])]
        case 2: return wide + [0x83, [0xC4, 0xEC][below(2)], UInt8(below(8) * 8)]
        case 3: return [[0x8B, 0x89, 0x03, 0x29, 0x13, 0x3B, 0x85, 0x39][below(8)], 0x44 | UInt8(r << 3), 0x24, UInt8(below(128))]
        case 4: return [0xFF, 0xC0 | UInt8(below(2) << 3 | s)]
        case 5: return memory([0xD3], [4, 5, 7][below(3)])
        case 6: return [0x6B, 0xC0 | UInt8(r << 3 | s), UInt8(below(256))]
        case 7: return [0x39, 0xC0 | UInt8(r << 3 | s), 0x70 | UInt8(below(16)), 2, 0xFF, 0xC0 | UInt8(s)]
        case 8: return below(3) == 0 ? [0xE8, 0, 0, 0, 0] : [0x6A, UInt8(below(256))]
        case 9: return memory([0xF7], 4 + below(2))
        default: return wide + [0x8D, 0x64, 0x24, UInt8(below(16) * 8)]
        }
    }

    private mutating func x87() -> [UInt8] {
        if below(12) == 0 { return [0x9B] }
        let opcode = 0xD8 | UInt8(below(8))
        guard below(5) >= 3 else { return [opcode, 0xC0 | UInt8(below(64))] }
        var reg = below(8)
        // Images and control words seldom: they end what the block is about.
        if opcode == 0xD9, reg == 4 || reg == 5, below(8) != 0 { reg = 0 }
        if opcode == 0xDD, reg == 4, below(8) != 0 { reg = 2 }
        return memory([opcode], reg)
    }

    private mutating func mmx() -> [UInt8] {
        let opcode = below(2) == 0 ? 0x60 + below(0x20) : 0xD1 + below(0x2E)
        if (0x70...0x73).contains(opcode) {
            return [0x0F, UInt8(opcode), 0xC0 | UInt8(below(64)), UInt8(below(256) & (below(2) == 0 ? 255 : 15))]
        }
        if opcode == 0x77 || below(3) != 0 { return opcode == 0x77 ? [0x0F, 0x77] : [0x0F, UInt8(opcode), 0xC0 | UInt8(below(64))] }
        return memory([0x0F, UInt8(opcode)], below(8))
    }

    private mutating func vector() -> [UInt8] {
        for _ in 0..<50 {
            let form = RandomBlock.forms[below(RandomBlock.forms.count)]
            guard features.isSuperset(of: form.features) else { continue }
            // System state is looked at seldom, MMX forms sometimes.
            if form.row.exceptions == "S", below(6) != 0 { continue }
            if form.row.has("Q") || form.row.has("P"), below(4) != 0 { continue }
            let made = encoder.encode(form, aligned: below(8) != 0).bytes
            if mode == .long || isLegal32(made) { return made }
        }
        return [0x90]
    }

    /// Without REX and high registers, which 32-bit code does not have.
    private func isLegal32(_ code: [UInt8]) -> Bool {
        var at = 0
        while at < code.count, [0x66, 0xF2, 0xF3].contains(code[at]) { at += 1 }
        guard at + 2 < code.count else { return true }
        if code[at] & 0xF0 == 0x40 { return false }
        if code[at] == 0xC5 { return code[at + 1] & 0xC0 == 0xC0 }
        if code[at] == 0xC4 { return code[at + 1] & 0xC0 == 0xC0 && code[at + 2] & 0xC0 == 0x40 }
        return true
    }

    private mutating func string() -> [UInt8] {
        let opcode = [0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF][below(10)]
        let rep: [UInt8] = below(3) == 0 ? [] : [[0xF2, 0xF3][below(2)]]
        // MOV ECX, count; CLD or STD
        return [0xB9] + bytes(UInt64(below(40)), 4) + [below(6) == 0 ? 0xFD : 0xFC] + rep + [UInt8(opcode)]
    }

    // MARK: Running

    func run(on rig: VectorRig) -> Outcome {
        var random = SplitMix(seed ^ 0xABCD)
        func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }
        rig.memory.write(VectorRig.code, code)
        for n in 0..<0x400 { rig.memory.store(0x1_F000 + UInt64(8 * n), below(3) == 0 ? random.next() : UInt64(below(4)) << 52 | 0x3FF0_0000_0000_0000) }
        rig.memory.store(UInt64(RandomBlock.counter), UInt32(1 + below(5)))
        pages(rig, below)
        var s = rig.processor.state
        s.retired = 0
        for n in 0..<16 { s.gpr[n] = random.next() >> UInt64(below(4) * 16) }
        (s.gpr[4], s.gpr[6], s.gpr[7]) = (0x3F_0000, place(below), place(below))
        // Code far from 0 has operands that no displacement holds; the first 512 GiB are there once more.
        s.rip = VectorRig.code + (mode == .long && below(2) == 0 ? 1 << 39 : 0)
        (s.cpl, s.halted, s.shadow, s.systemFlags) = (0, false, 0, 2 | (below(8) == 0 ? EFlags.df : 0))
        s.cr0 = CR0.pe | CR0.mp | CR0.ne | CR0.et | CR0.wp | (mode == .long ? CR0.pg : 0)
        if below(16) == 0 { s.cr0 |= [CR0.ts, CR0.em, CR0.ts | CR0.em][below(3)] }
        s.cr4 = (CR4.pae | CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave) & rig.processor.model.cr4Mask
        if below(16) == 0 { s.cr4 &= ~(below(2) == 0 ? CR4.osfxsr : CR4.osxsave) }
        s.xcr0 = below(16) == 0 ? 3 : 7
        s.mxcsr = below(12) == 0 ? UInt32(truncatingIfNeeded: random.next()) & 0xFFFF : UInt32(below(3) == 0 ? below(0x10000) : 0) & 0xE07F | 0x1F80
        s.fpu.control = below(12) == 0 ? UInt16(below(0x10000)) & 0x0F3F | 0x40 : below(3) == 0 ? UInt16(below(0x10)) << 8 | 0x7F : 0x37F
        s.fpu.status = UInt16(below(0x10000)) & 0x477F & (below(2) == 0 ? 0 : 0xFFFF)
        if s.fpu.status & ~s.fpu.control & 0x3F != 0 { s.fpu.status |= FSW.es | FSW.busy }
        (s.fpu.top, s.fpu.empty) = (UInt8(below(8)), UInt8([0, 0xFF, below(256), below(256)][below(4)]))
        (s.fpu.instructionPointer, s.fpu.dataPointer, s.fpu.opcode) = (1, 2, 3)
        for n in 0..<8 {
            s.fpu.significand[n] = below(3) == 0 ? random.next() : random.next() | 1 << 63
            s.fpu.signExponent[n] = UInt16(below(4) == 0 ? below(0x10000) : 0x3FF0 + below(32)) | (below(2) == 0 ? 0x8000 : 0)
        }
        for n in 0..<64 { s.vector[n] = below(2) == 0 ? random.next() : 0x3FF0_0000_0000_0000 | UInt64(below(1000)) << 40 }
        for n in [Seg.ds, Seg.es, Seg.ss, Seg.fs] {
            s.seg[n].base = mode == .protected && below(6) == 0 ? UInt64(below(3) * 0x1000) : 0
            s.seg[n].limit = mode == .protected && below(8) == 0 ? 0x2_0000 + UInt32(below(0x2000)) : 0xFFFF_FFFF
            s.seg[n].attributes = mode == .protected && below(24) == 0 ? [0xC091, 0xC097, 0xC013][below(3)] : 0xC093
        }
        rig.processor.state = s
        rig.processor.eflags = s.systemFlags | UInt32(truncatingIfNeeded: random.next()) & 0x8D5
        var exits: [EngineExit] = []
        for _ in 0..<4 {
            exits.append(rig.processor.run(budget: Int64(below(4) == 0 ? 1 + below(160) : 140 + below(400))))
            if exits.last == .halted { break }
        }
        return outcome(rig, exits)
    }

    /// Somewhere in the data, often near the end of its page.
    private func place(_ below: (Int) -> Int) -> UInt64 {
        VectorRig.data + UInt64(below(3) == 0 ? 0xFC0 + below(0x60) : (below(0x60) << 4) + (below(4) == 0 ? below(16) : 0))
    }

    /// 4 KiB pages for the first 2 MiB of 64-bit code; some of the data are missing or read-only.
    private func pages(_ rig: VectorRig, _ below: (Int) -> Int) {
        guard mode == .long else { return }
        for n in 0..<512 { rig.memory.store(0x4000 + UInt64(8 * n), UInt64(n) << 12 | 3) }
        for page in [0x1F, 0x21, 0x22] where below(4) == 0 { rig.memory.store(0x4000 + UInt64(8 * page), UInt64(page) << 12 | UInt64([0, 1, 5][below(3)])) }
        rig.memory.store(0x3000, UInt64(0x4003))
        rig.memory.store(0x1008, UInt64(0x2007))
    }

    private func outcome(_ rig: VectorRig, _ exits: [EngineExit]) -> Outcome {
        var digest = Digest()
        rig.processor.digest(into: &digest)
        digest.combine(rig.memory.read(0x1_F000, count: 0x4000))
        digest.combine(rig.memory.read(0x3E_F000, count: 0x1100))
        return Outcome(digest: digest.value, exits: exits, state: rig.processor.state, eflags: rig.processor.eflags)
    }
}
