import EmptyBoard
import Primitives

@testable import CPU

/// A board whose every answer comes from the seed.
final class RandomBus: EmptyBoard {
    var random: ProtectedRandomTests.Random
    init(seed: UInt64) { random = .init(state: seed) }
    func readPort(_ port: Port, size: Int) -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }
    func readMMIO(_ address: Physical, size: Int) -> UInt64 { random.next() }
    /// False: each request is answered, so that nothing depends on how often it is looked at.
    var mayDecline = true
    func acknowledgeInterrupt() -> UInt8? { mayDecline && random.next() & 7 == 0 ? nil : UInt8(truncatingIfNeeded: random.next()) }
    func readMSR(_ index: UInt32) -> UInt64? { index == 0x1B ? 0xFEE0_0900 : nil }
    func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool { index == 0x1B }
}

/// One vCPU in a given mode, tables that are mostly sound, and pages of random bytes; everything is made anew each round.
final class RandomBytesRig {
    enum Mode: Int, CaseIterable {
        case real, protected16, protected16User, protected32, protected32User, virtual86, paged32, paged32User
        case compatibility, compatibilityUser, long, longUser
        var isLong: Bool { rawValue >= Mode.compatibility.rawValue }
        var isUser: Bool { [.protected16User, .protected32User, .virtual86, .paged32User, .compatibilityUser, .longUser].contains(self) }
    }

    struct Result {
        var retired: UInt64 = 0, rounds = 0, shutdowns = 0, blocks: UInt64 = 0
        var digest = ""
        var broken: String?
    }

    static let ram: UInt64 = 4 << 20
    static let tables: UInt64 = 0x1000, gdt: UInt64 = 0x6000, idt: UInt64 = 0x7000, tss: UInt64 = 0x8000, stacks: UInt64 = 0x9000
    static let small: UInt64 = 0xC000
    static let code: UInt64 = 0x1_0000, codeBytes = 0x4000

    let mode: Mode
    let memory: GuestMemory
    let processor: Processor
    let bus: RandomBus
    var random: ProtectedRandomTests.Random

    /// Least budget of a slice: the translator wants some.
    private let slice: Int

    init(model: CPUModel, mode: Mode, seed: UInt64, slice: Int = 0, translation: TranslationSettings? = nil) throws {
        self.slice = slice
        self.mode = mode
        memory = try GuestMemory(ramBytes: RandomBytesRig.ram, extraBytes: 4096)
        // RAM to 3 MiB, then 1 MiB that is read-only, then the bus.
        memory.setMap([.init(base: 0, bytes: 3 << 20, read: 0, write: 0), .init(base: 3 << 20, bytes: 1 << 20, read: 3 << 20, write: nil)])
        bus = RandomBus(seed: ~seed)
        bus.mayDecline = slice == 0
        processor = Processor(memory: memory, bus: bus, model: model, translation: translation)
        processor.yieldsOnPause = seed & 1 == 0
        random = .init(state: seed)
    }

    func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }

    // MARK: Running

    func run(_ wanted: UInt64) -> Result {
        var result = Result()
        var digest = Digest()
        // A round may end at its first instruction, but not all of them do.
        while result.retired < wanted && result.rounds < 10_000 + Int(wanted) {
            result.rounds += 1
            prepare()
            var left = Int64(60 + 4 * slice)
            for _ in 0..<24 where left > 0 {
                let slice = Int64(slice + 1 + below(30))
                let before = processor.retired
                let exit = processor.run(budget: slice)
                let done = Int64(bitPattern: processor.retired &- before)
                if done < 0 || done > slice || exit == .budgetUsed && done != slice {
                    result.broken = "round \(result.rounds): \(done) instructions of a budget of \(slice), \(exit)"
                    return result
                }
                left -= done
                result.retired += UInt64(done)
                if case .shutdown = exit {
                    result.shutdowns += 1
                    break
                }
                if exit == .halted {
                    if processor.state.waitingForStartup { break }
                    processor.raiseNMI()
                }
                processor.setINTR(below(4) == 0)
            }
            processor.digest(into: &digest)
        }
        digest.combine(memory.read(RandomBytesRig.code, count: RandomBytesRig.codeBytes))
        result.digest = digest.value
        result.blocks = processor.blockStatistics.decoded
        return result
    }

    // MARK: Making a round

    private static let favourites: [[UInt8]] = [
        [0x0F], [0x0F], [0x0F, 0x38], [0x0F, 0x3A], [0x66, 0x0F], [0xF3, 0x0F], [0xF2, 0x0F], [0x66, 0x0F, 0x38], [0x66, 0x0F, 0x3A],
        [0xF2, 0x0F, 0x38], [0xC5], [0xC4], [0xC4, 0xE1], [0xC4, 0xE2], [0xC4, 0xE3], [0xC4, 0xC2, 0x79], [0xC5, 0xF8], [0xC5, 0xFC],
        [0x62], [0x48], [0x49], [0x4C], [0x4F], [0x40], [0x66], [0x67], [0xF0], [0xF2], [0xF3], [0x2E], [0x64], [0x65], [0xD8], [0xD9],
        [0xDB], [0xDD], [0xDF], [0x0F, 0xC7], [0x0F, 0xAE], [0x48, 0x0F, 0xAE], [0x0F, 0x01], [0x0F, 0x00], [0x0F, 0x20], [0x0F, 0x22],
        [0x0F, 0x23], [0x0F, 0x30], [0x0F, 0x32], [0x0F, 0x05], [0x0F, 0x07], [0x48, 0x0F, 0x07], [0x0F, 0x34], [0x0F, 0x35], [0xCF],
        [0x48, 0xCF], [0xCB], [0x48, 0xCB], [0xFF], [0x48, 0xFF], [0x8E], [0x9D], [0xF3, 0xA4], [0xF3, 0x48, 0xAB], [0xCD], [0xC8], [0xE8],
        [0xF7], [0xF6], [0x48, 0xF7], [0xFB], [0x8F],
    ]

    private func bytes(_ count: Int) -> [UInt8] {
        var made: [UInt8] = []
        made.reserveCapacity(count + 8)
        let biased = below(3) != 0
        while made.count < count {
            if biased && below(2) == 0 { made += RandomBytesRig.favourites[below(RandomBytesRig.favourites.count)] }
            let word = random.next()
            for n in 0..<(biased ? 1 + below(4) : 8) { made.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * n))) }
        }
        return Array(made.prefix(count))
    }

    private func value() -> UInt64 {
        switch below(6) {
        case 0: return random.next()
        case 1: return UInt64(below(8))
        case 2: return UInt64(below(256)) &- 128
        case 3: return UInt64(UInt32(truncatingIfNeeded: random.next()))
        // An address within RAM, or where it ends.
        case 4: return UInt64(below(0x40_0000))
        default: return RandomBytesRig.code + UInt64(below(RandomBytesRig.codeBytes))
        }
    }

    private func descriptor(base: UInt64, limit: UInt64, access: UInt64, flags: UInt64) -> UInt64 {
        limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | access << 40 | (limit >> 16 & 0xF) << 48 | flags << 52 | (base >> 24 & 0xFF) << 56
    }

    private func prepare() {
        typealias R = RandomBytesRig
        // Two pages change each round, so that blocks of the others stay in the cache.
        for _ in 0..<2 { memory.write(R.code + UInt64(below(R.codeBytes / 4096) * 4096), bytes(4096)) }
        pageTables()
        descriptors()
        var s = VCPU()
        s.retired = processor.retired
        for n in 0..<16 { s.gpr[n] = value() }
        let long = mode.isLong
        let paged = long || mode == .paged32 || mode == .paged32User
        let user = mode.isUser
        let v86 = mode == .virtual86
        s.cr0 = CR0.et | (below(2) == 0 ? CR0.ne : 0) | (below(8) == 0 ? CR0.ts : 0) | (below(8) == 0 ? CR0.em : 0) | (below(2) == 0 ? CR0.wp : 0)
        s.cr0 |= (below(2) == 0 ? CR0.am : 0) | (below(2) == 0 ? CR0.mp : 0)
        if mode != .real { s.cr0 |= CR0.pe }
        if paged { s.cr0 |= CR0.pg }
        let features = CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave | CR4.de | CR4.pge | CR4.pse | (long ? 0 : CR4.vme | CR4.pvi | CR4.tsd)
        s.cr4 = below(4) == 0 ? UInt32(truncatingIfNeeded: random.next()) & features : CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave
        if long || paged && below(2) == 0 { s.cr4 |= CR4.pae }
        s.cr4 &= processor.model.cr4Mask
        let pae = s.cr4 & CR4.pae != 0
        s.cr3 = long ? R.tables : pae ? R.tables + 0x1000 : R.tables + 0x3000
        if paged && pae { for n in 0..<4 { s.pdpte[n] = memory.load(s.cr3 + UInt64(8 * n), as: UInt64.self) & ~0x6 } }
        if long { s.efer = 0x500 | UInt64(below(2)) | UInt64(below(2)) << 11 }
        s.xcr0 = [1, 3, 7][below(3)]
        s.cpl = mode == .real ? 0 : user ? 3 : 0
        s.systemFlags = 2 | UInt32(below(4)) << 12 | (below(2) == 0 ? EFlags.if : 0) | (below(4) == 0 ? EFlags.ac : 0)
        s.systemFlags |= below(16) == 0 ? EFlags.tf : 0
        s.systemFlags |= (below(4) == 0 ? EFlags.df : 0) | (below(16) == 0 && !v86 ? EFlags.nt : 0) | (v86 ? EFlags.vm : 0)
        let is64 = mode == .long || mode == .longUser
        for n in 0..<6 {
            var segment = Segment()
            if mode == .real || v86 {
                segment.selector = n == Seg.cs ? UInt16(R.code >> 4) : UInt16(below(0x3000))
                segment.base = UInt64(segment.selector) << 4
                segment.attributes = v86 ? 0xF3 : n == Seg.cs ? 0x9B : 0x93
            } else {
                let small = mode == .protected16 || mode == .protected16User
                let dpl: UInt16 = user ? 0x60 : 0
                segment.selector = UInt16((n == Seg.cs ? is64 ? 3 : small ? 2 : 1 : 4) * 8 + (user ? 0x23 : 0))
                segment.limit = small ? 0xFFFF : 0xFFFF_FFFF
                segment.base = small ? n == Seg.cs ? R.code : UInt64(below(16)) << 16 : 0
                segment.attributes = (n == Seg.cs ? 0x9B : 0x93) | dpl | (small ? 0 : n == Seg.cs && is64 ? 0xA000 : 0xC000)
            }
            s.seg[n] = segment
        }
        s.seg[Seg.tr].base = R.tss
        s.seg[Seg.tr].limit = 0x2FF
        s.seg[Seg.tr].attributes = 0x8B
        s.seg[Seg.tr].selector = 0x60
        s.seg[Seg.ldtr].attributes = 0x82
        s.seg[Seg.ldtr].limit = 0x7F
        s.seg[Seg.ldtr].base = R.gdt
        s.gdtrBase = R.gdt
        s.gdtrLimit = 0x7F
        s.idtrBase = mode == .real ? 0 : R.idt
        s.idtrLimit = mode == .real ? 0x3FF : 0xFFF
        s.fpu.control = below(2) == 0 ? 0x037F : UInt16(truncatingIfNeeded: random.next()) & 0x0F3F | 0x40
        s.fpu.empty = UInt8(truncatingIfNeeded: random.next())
        s.fpu.top = UInt8(below(8))
        for n in 0..<8 {
            s.fpu.significand[n] = random.next()
            s.fpu.signExponent[n] = UInt16(truncatingIfNeeded: random.next())
        }
        for n in 0..<64 { s.vector[n] = value() }
        s.mxcsr = below(2) == 0 ? 0x1F80 : UInt32(truncatingIfNeeded: random.next()) & 0xFFBF
        (s.sysenterCS, s.sysenterESP, s.sysenterEIP) = (8, R.stacks + 0x800, R.code + UInt64(below(R.codeBytes)))
        (s.star, s.lstar, s.cstar) = (0x0023_0018 << 32, R.code + UInt64(below(R.codeBytes)), R.code + UInt64(below(R.codeBytes)))
        (s.sfmask, s.kernelGSBase) = (0x4_7700, value())
        for n in 0..<4 where below(16) == 0 {
            s.dr[n] = value()
            s.dr[7] |= 3 << UInt64(2 * n) | UInt64(below(16)) << UInt64(16 + 4 * n)
        }
        let start = UInt64(below(R.codeBytes))
        s.rip = mode == .real || v86 || mode == .protected16 || mode == .protected16User ? start : R.code + start
        if below(2) == 0 { s.gpr[4] = R.stacks + 0x1000 + UInt64(below(64)) * 8 }
        processor.state = s
        processor.eflags = s.systemFlags | UInt32(truncatingIfNeeded: random.next()) & 0x8D5
    }

    /// Identity for the first GiB by PML4, PDPT and one directory of large and small pages; another directory for two-level paging.
    private func pageTables() {
        typealias R = RandomBytesRig
        let t = R.tables
        memory.store(t, UInt64(t + 0x1007))
        memory.store(t + 8, below(4) == 0 ? random.next() : UInt64(0))
        for n in 0..<4 { memory.store(t + 0x1000 + UInt64(8 * n), UInt64(t + 0x2000) | (mode.isLong ? 7 : 1)) }
        memory.store(t + 0x2000, UInt64(t + 0x4007))
        memory.store(t + 0x2008, UInt64(0x20_00E7))
        memory.store(t + 0x2010, UInt64(0x40_0087))
        memory.store(t + 0x2018, below(2) == 0 ? random.next() : UInt64(0))
        for n in 0..<512 {
            var entry = UInt64(n) << 12 | 7
            if below(60) == 0 && n > 32 { entry = [entry & ~1, entry & ~2, entry & ~4, entry | 1 << 63, random.next()][below(5)] }
            memory.store(t + 0x4000 + UInt64(8 * n), entry)
        }
        memory.store(t + 0x3000, UInt32(R.small | 7))
        memory.store(t + 0x3004, UInt32(0x40_0087))
        for n in 0..<1024 {
            var entry = UInt32(n) << 12 | 7
            if below(60) == 0 && n > 32 { entry = [entry & ~1, entry & ~2, entry & ~4, UInt32(truncatingIfNeeded: random.next())][below(4)] }
            memory.store(R.small + UInt64(4 * n), entry)
        }
    }

    private func descriptors() {
        typealias R = RandomBytesRig
        memory.store(R.gdt, UInt64(0))
        for ring in 0..<2 {
            let (at, dpl) = (R.gdt + UInt64(ring * 32), UInt64(ring * 0x60))
            memory.store(at + 8, descriptor(base: 0, limit: 0xF_FFFF, access: 0x9B | dpl, flags: 0xC))
            memory.store(at + 16, descriptor(base: R.code, limit: 0xFFFF, access: 0x9B | dpl, flags: 0))
            memory.store(at + 24, descriptor(base: 0, limit: 0xF_FFFF, access: 0x9B | dpl, flags: 0xA))
            memory.store(at + 32, descriptor(base: 0, limit: 0xF_FFFF, access: 0x93 | dpl, flags: 0xC))
        }
        // Call gates, a task, and what chance makes.
        let gate = R.code + UInt64(below(R.codeBytes))
        memory.store(R.gdt + 0x48, gate & 0xFFFF | 8 << 16 | UInt64(below(32)) << 32 | 0xEC << 40 | (gate >> 16) << 48)
        memory.store(R.gdt + 0x50, UInt64(0))
        memory.store(R.gdt + 0x58, descriptor(base: R.tss + 0x400, limit: 0x67, access: 0xE9, flags: 0))
        memory.store(R.gdt + 0x60, descriptor(base: R.tss, limit: 0x2FF, access: 0x8B, flags: 0))
        memory.store(R.gdt + 0x68, UInt64(0))
        memory.store(R.gdt + 0x70, random.next())
        memory.store(R.gdt + 0x78, random.next())
        for n in 0..<256 {
            let offset = R.code + UInt64(below(R.codeBytes))
            let odd = below(16) == 0
            if mode.isLong {
                let low = odd ? random.next() : offset & 0xFFFF | 0x18 << 16 | UInt64(below(8) == 0 ? below(8) : 0) << 32
                memory.store(R.idt + UInt64(16 * n), low | (0xEE | UInt64(below(2))) << 40 | (offset >> 16) << 48)
                memory.store(R.idt + UInt64(16 * n + 8), UInt64(0))
            } else {
                let type: UInt64 = [0xEE, 0xEF, 0xE6, 0xE5][below(16) < 12 ? 0 : below(4)]
                let selector: UInt64 = type == 0xE5 ? 0x58 : type == 0xE6 ? 0x10 : 8
                memory.store(R.idt + UInt64(8 * n), odd ? random.next() : offset & 0xFFFF | selector << 16 | type << 40 | (offset >> 16) << 48)
            }
            // Vectors of real mode: within the pages of code.
            if mode == .real || mode == .virtual86 { memory.store(UInt64(4 * n), UInt32(below(R.codeBytes)) | UInt32(R.code >> 4) << 16) }
        }
        for n in 0..<96 { memory.store(R.tss + UInt64(8 * n), below(3) == 0 ? random.next() : UInt64(0)) }
        if mode.isLong {
            for n in 0..<8 { memory.store(R.tss + 4 + UInt64(8 * n), R.stacks + 0x800 + UInt64(below(64))) }
            for n in 0..<8 { memory.store(R.tss + 0x24 + UInt64(8 * n), below(8) == 0 ? random.next() : R.stacks + 0x400) }
        } else {
            for n in 0..<3 { memory.store(R.tss + 4 + UInt64(8 * n), UInt32(R.stacks + 0x800)) }
            for n in 0..<3 { memory.store(R.tss + 8 + UInt64(8 * n), UInt32(n == 0 ? 0x20 : below(0x80))) }
        }
        memory.store(R.tss + 0x66, UInt16(0x68))
    }
}
