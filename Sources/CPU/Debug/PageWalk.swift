import Primitives

/// A walk through the page tables that leaves no trace: no accessed bits, no TLB entry, no fault.
///
/// Source: SDM Vol. 3A, "Paging". What it does not do, as the MMU: 5-level paging, protection keys.
public struct PageWalk: Equatable, Sendable, Codable {
    public struct Level: Equatable, Sendable, Codable {
        /// PML4E, PDPTE, PDE, PTE.
        public var name: String
        /// Where the entry lies; nil: in the processor (PAE's four pointers).
        public var address: UInt64?
        public var entry: UInt64
    }

    public var linear: UInt64
    public var levels: [Level] = []
    /// nil: nothing is mapped there.
    public var physical: UInt64?
    public var pageBytes: UInt64 = 4096
    public var writable = true, user = true, executable = true, global = false
    /// Why there is no translation, or what there is instead of one.
    public var note = ""
}

extension Processor {
    /// Physical address of a linear one, before the A20 gate; nil: not mapped. No side effects.
    public func peekPhysical(_ linear: Linear) -> Physical? { peekWalk(linear).physical }

    public func peekWalk(_ linear: Linear) -> PageWalk {
        let c = core
        let address = c.isLong ? linear : linear & 0xFFFF_FFFF
        var walk = PageWalk(linear: address)
        if c.cr0 & CR0.pg == 0 {
            walk.physical = address
            walk.note = "paging is off"
            return walk
        }
        if c.isLong {
            guard c.isCanonical(address) else {
                walk.note = "the address is not canonical"
                return walk
            }
            peekWide(&walk, address, top: 3, table: c.v.pointee.cr3 & model.frameMask)
        } else if c.cr4 & CR4.pae != 0 {
            let pointer = c.v.pointee.pdpte[Int(truncatingIfNeeded: address &>> 30) & 3]
            walk.levels.append(.init(name: "PDPTE", address: nil, entry: pointer))
            guard pointer & 1 != 0 else {
                walk.note = "PDPTE is not present"
                return walk
            }
            peekWide(&walk, address, top: 1, table: pointer & model.frameMask)
        } else {
            peekNarrow(&walk, address)
        }
        return walk
    }

    private func peekNarrow(_ walk: inout PageWalk, _ address: UInt64) {
        let c = core
        let directory = (c.v.pointee.cr3 & 0xFFFF_F000) | ((address &>> 20) & 0xFFC)
        let pde = UInt64(memory.load(directory, as: UInt32.self))
        walk.levels.append(.init(name: "PDE", address: directory, entry: pde))
        guard pde & 1 != 0 else { return walk.note = "PDE is not present" }
        (walk.user, walk.writable) = (pde & 4 != 0, pde & 2 != 0)
        if pde & 0x80 != 0 && c.cr4 & CR4.pse != 0 {
            walk.pageBytes = 4 << 20
            walk.global = pde & 0x100 != 0
            walk.physical = ((pde &>> 13) & 0xF) &<< 32 | pde & 0xFFC0_0000 | address & 0x3F_FFFF
            return
        }
        let table = (pde & 0xFFFF_F000) | ((address &>> 10) & 0xFFC)
        let pte = UInt64(memory.load(table, as: UInt32.self))
        walk.levels.append(.init(name: "PTE", address: table, entry: pte))
        guard pte & 1 != 0 else { return walk.note = "PTE is not present" }
        (walk.user, walk.writable) = (walk.user && pte & 4 != 0, walk.writable && pte & 2 != 0)
        walk.global = pte & 0x100 != 0
        walk.physical = pte & 0xFFFF_F000 | address & 0xFFF
    }

    /// 8-byte entries: from level `top` (3: PML4) down to the page.
    private func peekWide(_ walk: inout PageWalk, _ address: UInt64, top: Int, table: UInt64) {
        let names = ["PTE", "PDE", "PDPTE", "PML4E"]
        var table = table, level = top
        while true {
            let place = table | ((address &>> UInt64(9 &+ 9 &* level)) & 0xFF8)
            let entry = memory.load(place, as: UInt64.self)
            walk.levels.append(.init(name: names[level], address: place, entry: entry))
            guard entry & 1 != 0 else { return walk.note = "\(names[level]) is not present" }
            walk.user = walk.user && entry & 4 != 0
            walk.writable = walk.writable && entry & 2 != 0
            if core.v.pointee.efer & EFER.nxe != 0, entry >> 63 != 0 { walk.executable = false }
            if level == 0 || (entry & 0x80 != 0 && level < 3) {
                walk.pageBytes = 4096 &<< UInt64(9 &* level)
                walk.global = entry & 0x100 != 0
                walk.physical = entry & model.frameMask & ~(walk.pageBytes - 1) | address & (walk.pageBytes - 1)
                return
            }
            table = entry & model.frameMask
            level -= 1
        }
    }

    /// Bytes at a linear address and which of them are memory or a display's. No side effects: other register windows are not read.
    public func peek(_ linear: Linear, count: Int) -> PeekedBytes {
        var result = PeekedBytes()
        let mask: UInt64 = core.isLong ? .max : 0xFFFF_FFFF
        while result.bytes.count < count {
            let at = (linear &+ UInt64(result.bytes.count)) & mask
            let chunk = min(count - result.bytes.count, 4096 - Int(at & 0xFFF))
            result.append(peekPhysical(at).flatMap { memory.peekPage($0, count: chunk) ?? bus.peekDisplay($0, count: chunk) }, count: chunk)
        }
        return result
    }

    /// As `peek`, at a physical address.
    public func peek(physical address: Physical, count: Int) -> PeekedBytes {
        var result = PeekedBytes()
        while result.bytes.count < count {
            let at = address &+ UInt64(result.bytes.count)
            let chunk = min(count - result.bytes.count, 4096 - Int(at & 0xFFF))
            result.append(memory.peekPage(at, count: chunk) ?? bus.peekDisplay(at, count: chunk), count: chunk)
        }
        return result
    }

    /// Writes bytes at a linear address, whatever the rights of its pages.
    /// - Returns: how many could be written, from the first on.
    public func poke(_ linear: Linear, _ bytes: [UInt8]) -> Int {
        var done = 0
        while done < bytes.count {
            let at = linear &+ UInt64(done)
            let chunk = min(bytes.count - done, 4096 - Int(at & 0xFFF))
            guard let physical = peekPhysical(at), memory.page(physical).write >= 0 else { return done }
            memory.writeUnseen(physical, Array(bytes[done..<(done + chunk)]))
            done += chunk
        }
        return done
    }

    /// As `poke`, at a physical address.
    /// - Returns: nil: it is done; else where there is no memory to write, and nothing was written.
    public func poke(physical address: Physical, _ bytes: [UInt8]) -> Physical? {
        var at = address & ~0xFFF
        while at < address &+ UInt64(bytes.count) {
            guard memory.page(at).write >= 0 else { return at }
            at &+= 0x1000
        }
        memory.writeUnseen(address, bytes)
        return nil
    }

    /// The translations that are held: linear page, physical page where it is RAM, rights and class.
    public var heldTranslations: [HeldTranslation] {
        let tlb = core.t.pointee.systemTLB
        var result: [HeldTranslation] = []
        for index in 0..<(2 * TLBEntry.entries) {
            let entry = tlb[index]
            guard let tag = [entry.read, entry.write, entry.execute].first(where: { $0 & TLBEntry.invalid == 0 }) else { continue }
            let page = tag & ~0xFFF
            let arena = Int(bitPattern: entry.addend &+ UInt(truncatingIfNeeded: page) &- UInt(bitPattern: memory.base))
            result.append(
                HeldTranslation(
                    linear: page, physical: peekPhysical(page), arena: UInt64(max(arena, 0)), isUser: index >= TLBEntry.entries,
                    reads: entry.read & TLBEntry.invalid == 0, writes: entry.write & TLBEntry.invalid == 0,
                    executes: entry.execute & TLBEntry.invalid == 0, isGlobal: globalSlots[index]))
        }
        return result
    }
}

/// One entry of the software TLB, for people. `physical` is what the page tables say now; `arena` is where the entry really leads.
public struct HeldTranslation: Equatable, Sendable, Codable {
    public var linear: UInt64
    public var physical: UInt64?
    public var arena: UInt64
    public var isUser, reads, writes, executes, isGlobal: Bool
}

/// Memory as a debugger sees it.
public struct PeekedBytes: Equatable, Sendable {
    /// 0xFF where nothing could be read.
    public var bytes: [UInt8] = []
    /// Parts of `bytes` that are not memory.
    public var missing: [Range<Int>] = []
    public init() {}

    public var isWhole: Bool { missing.isEmpty }

    /// nil: there is no memory.
    public mutating func append(_ new: [UInt8]?, count: Int) {
        let start = bytes.count
        if let new {
            bytes += new
            return
        }
        bytes += [UInt8](repeating: 0xFF, count: count)
        if let last = missing.indices.last, missing[last].upperBound == start {
            missing[last] = missing[last].lowerBound..<(start + count)
        } else {
            missing.append(start..<(start + count))
        }
    }
}

extension GuestMemory {
    /// Bytes within one physical page; nil: it is no memory.
    func peekPage(_ address: Physical, count: Int) -> [UInt8]? {
        guard page(address).read >= 0 else { return nil }
        return read(address, count: count)
    }
}

extension Processor {
    /// Where instructions begin on the page of a linear address, as far as they have been carried out lately.
    public func knownStarts(page linear: Linear) -> Set<Linear> {
        let page = linear & ~0xFFF
        guard let physical = peekPhysical(page) else { return [] }
        let storage = memory.page(physical).read
        guard storage >= 0 else { return [] }
        return Set(blocks.instructionStarts(page: storage >> 12).map { page | UInt64($0) })
    }
}
