import Glibc
import Primitives

/// Address translation and the slow half of every memory access.
///
/// Source: SDM Vol. 3A, "Paging" (32-bit, PAE, 4-level), "Access Rights", "Accessed and Dirty Flags", "Page-Fault Exceptions".
/// Not implemented: 5-level paging, PCID, protection keys, SMEP, SMAP.
extension Core {
    /// Access kinds in the order of the page-fault error code.
    enum Access { case read, write, execute }

    /// A translation for one page.
    struct Translation {
        var physical: Physical
        var writable: Bool
        var user: Bool
        var global: Bool
        var dirty: Bool
        var executable: Bool
        /// 2 MiB page or larger: its size minus 1, else 0.
        var large: UInt64 = 0
    }

    /// True while accesses are made with supervisor rights (CPL 0–2, or the processor's own table accesses).
    @inline(__always) var isSystemAccess: Bool { t.pointee.tlb == t.pointee.systemTLB }

    /// Work on the processor, or its memory, without counting references.
    @inline(__always)
    func withProcessor<R>(_ body: (Processor) -> R) -> R { t.pointee.owner._withUnsafeGuaranteedRef(body) }
    @inline(__always)
    func withMemory<R>(_ body: (GuestMemory) -> R) -> R { t.pointee.memory._withUnsafeGuaranteedRef(body) }

    // MARK: Slow accesses

    @inline(never)
    func loadSlow(_ linear: UInt64, _ bytes: Int) throws(Fault) -> UInt64 {
        let mask = t.pointee.addressMask
        let address = linear & mask
        if (address & 0xFFF) &+ UInt64(bytes) <= 4096 {
            try checkAlignment(address, bytes)
            return try readWithin(address, bytes)
        }
        try checkAlignment(address, bytes)
        let first = 4096 &- Int(address & 0xFFF)
        let second = ((address | 0xFFF) &+ 1) & mask
        // Both pages are proved before the first byte is read: reads of device registers have effects.
        _ = try entry(for: address, .read)
        _ = try entry(for: second, .read)
        let low = try readPieces(address, first)
        let high = try readPieces(second, bytes &- first)
        return low | (high &<< UInt64(8 &* first))
    }

    /// Byte-wise read within one page, for odd lengths.
    private func readPieces(_ address: UInt64, _ bytes: Int) throws(Fault) -> UInt64 {
        var value: UInt64 = 0
        for i in 0..<bytes { value |= try readWithin(address &+ UInt64(i), 1) &<< UInt64(8 &* i) }
        return value
    }

    private func readWithin(_ address: UInt64, _ bytes: Int) throws(Fault) -> UInt64 {
        let e = try entry(for: address, .read)
        if t.pointee.debugs.contains(.watches) { try noteWatch(address, bytes, write: false, e) }
        noteData(address, bytes, write: false)
        if e.addend != 0 {
            let p = UnsafeRawPointer(bitPattern: e.addend &+ UInt(truncatingIfNeeded: address)).unsafelyUnwrapped
            switch bytes {
            case 1: return UInt64(p.loadUnaligned(as: UInt8.self))
            case 2: return UInt64(p.loadUnaligned(as: UInt16.self))
            case 4: return UInt64(p.loadUnaligned(as: UInt32.self))
            default: return p.loadUnaligned(as: UInt64.self)
            }
        }
        try requireExact()
        return withProcessor { $0.readMMIO(e.physical | (address & 0xFFF), size: bytes) }
    }

    @inline(never)
    func storeSlow(_ linear: UInt64, _ bytes: Int, _ value: UInt64) throws(Fault) {
        let mask = t.pointee.addressMask
        let address = linear & mask
        try checkAlignment(address, bytes)
        if (address & 0xFFF) &+ UInt64(bytes) <= 4096 { return try writeWithin(address, bytes, value) }
        let first = 4096 &- Int(address & 0xFFF)
        let second = ((address | 0xFFF) &+ 1) & mask
        let low = try entry(for: address, .write)
        let high = try entry(for: second, .write)
        if t.pointee.debugs.contains(.watches) {
            // Nothing may be written before it is known that the instruction is not repeated.
            try proveWatch(address, first, low)
            try proveWatch(second, bytes &- first, high)
        }
        for i in 0..<first { try writeWithin(address &+ UInt64(i), 1, (value &>> UInt64(8 &* i)) & 0xFF) }
        for i in 0..<(bytes &- first) { try writeWithin(second &+ UInt64(i), 1, (value &>> UInt64(8 &* (first &+ i))) & 0xFF) }
    }

    private func writeWithin(_ address: UInt64, _ bytes: Int, _ value: UInt64) throws(Fault) {
        let e = try entry(for: address, .write)
        if t.pointee.debugs.contains(.watches) { try noteWatch(address, bytes, write: true, e) }
        if e.addend != 0 {
            noteData(address, bytes, write: true)
            let host = e.addend &+ UInt(truncatingIfNeeded: address)
            withMemory { memory in
                memory.willWrite(Int(host &- t.pointee.arena), bytes)
                if memory.seesFirstWrites { quickenStores(address, memory) }
            }
            let p = UnsafeMutableRawPointer(bitPattern: host).unsafelyUnwrapped
            switch bytes {
            case 1: p.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
            case 2: p.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
            case 4: p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
            default: p.storeBytes(of: value, as: UInt64.self)
            }
            return
        }
        if e.dropped { return }
        try requireExact()
        noteData(address, bytes, write: true)
        withProcessor { $0.writeMMIO(e.physical | (address & 0xFFF), size: bytes, value) }
    }

    /// The value at `linear` with both pages proved writable: first half of a read-modify-write.
    @inline(never)
    func loadForWrite(_ linear: UInt64, _ bytes: Int) throws(Fault) -> UInt64 {
        let mask = t.pointee.addressMask
        let address = linear & mask
        try checkAlignment(address, bytes)
        let e = try entry(for: address, .write)
        if (address & 0xFFF) &+ UInt64(bytes) > 4096 { _ = try entry(for: ((address | 0xFFF) &+ 1) & mask, .write) }
        if e.addend == 0 && !e.dropped { try requireExact() }
        if bytes > 8 { return 0 }
        return try loadSlow(linear, bytes)
    }

    /// Proves a write without reading: probes of registers must have no effect.
    @inline(never)
    func proveWrite(_ linear: UInt64, _ bytes: Int) throws(Fault) {
        let mask = t.pointee.addressMask
        let address = linear & mask
        try checkAlignment(address, bytes)
        _ = try entry(for: address, .write)
        if (address & 0xFFF) &+ UInt64(bytes) > 4096 { _ = try entry(for: ((address | 0xFFF) &+ 1) & mask, .write) }
    }

    /// Device registers are reached only from single steps and slow handlers, where guest time is exact and the engine looks up
    /// right after the instruction. Anything else is rolled back and repeated that way.
    @inline(__always)
    private func requireExact() throws(Fault) {
        if !t.pointee.exact { throw Fault.repeatExactly }
    }

    /// #AC: CR0.AM, EFLAGS.AC and CPL 3. The TLB never hits then, so that every access comes here.
    @inline(__always)
    private func checkAlignment(_ address: UInt64, _ bytes: Int) throws(Fault) {
        // Ten-byte operands of the x87 want 8: SDM Vol. 3A, "Alignment Requirements by Data Type".
        if t.pointee.alignmentChecked && !isSystemAccess && address & UInt64(min(bytes, 8) &- 1) != 0 { throw .alignmentCheck }
    }

    /// Data breakpoints (DR0–DR3); pages that hold one never hit the TLB.
    @inline(__always)
    private func noteData(_ address: UInt64, _ bytes: Int, write: Bool) {
        if t.pointee.watching { matchDataBreakpoints(address, bytes, write: write) }
    }

    @inline(never)
    private func matchDataBreakpoints(_ address: UInt64, _ bytes: Int, write: Bool) {
        let dr7 = v.pointee.dr[7]
        for n in 0..<4 where dr7 & (3 &<< UInt64(2 &* n)) != 0 {
            let kind = (dr7 &>> UInt64(16 &+ 4 &* n)) & 3
            guard kind == 3 || (kind == 1 && write) else { continue }
            let length: UInt64 = [1, 2, 8, 4][Int((dr7 &>> UInt64(18 &+ 4 &* n)) & 3)]
            let start = v.pointee.dr[n] & ~(length &- 1)
            if address < start &+ length && start < address &+ UInt64(bytes) { t.pointee.pendingDebug |= 1 &<< UInt32(n) }
        }
    }

    /// The debugger's watches. What is not carried out alone is taken back and repeated that way.
    @inline(never)
    private func noteWatch(_ address: UInt64, _ bytes: Int, write: Bool, _ e: PageAccess) throws(Fault) {
        let processor = t.pointee.processor
        let arena = e.addend == 0 ? -1 : Int(bitPattern: e.addend &+ UInt(truncatingIfNeeded: address) &- UInt(bitPattern: processor.memory.base))
        let physical = e.physical | (address & 0xFFF)
        guard processor.isWatched(address, bytes, write: write, arena: arena, physical: physical) else { return }
        try requireExact()
        processor.note(.memory(linear: address, physical: e.addend == 0 ? physical : nil, bytes: bytes, write: write))
    }

    private func proveWatch(_ address: UInt64, _ bytes: Int, _ e: PageAccess) throws(Fault) {
        guard !t.pointee.exact else { return }
        let processor = t.pointee.processor
        let arena = e.addend == 0 ? -1 : Int(bitPattern: e.addend &+ UInt(truncatingIfNeeded: address) &- UInt(bitPattern: processor.memory.base))
        let physical = e.physical | (address & 0xFFF)
        if processor.isWatched(address, bytes, write: true, arena: arena, physical: physical) { throw Fault.repeatExactly }
    }

    // MARK: Translation

    /// Where one page leads, for one kind of access.
    struct PageAccess {
        /// Host minus linear address; 0: not memory.
        var addend: UInt
        var physical: Physical
        var dropped = false
    }

    /// Translates at the current rights, filling the TLB. Throws #PF with CR2 set.
    func entry(for address: UInt64, _ access: Access) throws(Fault) -> PageAccess {
        let page = address & ~0xFFF
        let system = isSystemAccess
        let tlb = system ? t.pointee.systemTLB : t.pointee.userTLB
        let slot = tlb + Int(truncatingIfNeeded: (page &>> 12) & UInt64(TLBEntry.entries - 1))
        // A hit with marks in the low bits (code on the page, watched) still has the right addend.
        let tag = access == .read ? slot.pointee.read : access == .write ? slot.pointee.write : slot.pointee.execute
        if tag & ~0xFFF == page && tag & TLBEntry.invalid == 0 { return PageAccess(addend: slot.pointee.addend, physical: 0) }
        return try fill(page, address, access, system: system, slot)
    }

    @inline(never)
    private func fill(_ page: UInt64, _ address: UInt64, _ access: Access, system: Bool, _ slot: UnsafeMutablePointer<TLBEntry>) throws(Fault) -> PageAccess {
        let found = try translate(address, access, system: system)
        if tells(.translation) {
            let how: UInt16 = access == .read ? 0 : access == .write ? 1 : 2
            tell(.walk, number: how, place: UInt32(truncatingIfNeeded: found.physical >> 12), value: address)
        }
        if found.large != 0 {
            t.pointee.largeLow = min(t.pointee.largeLow, page & ~found.large)
            t.pointee.largeHigh = max(t.pointee.largeHigh, page | found.large)
        }
        let isFlat = found.physical >= 0x10_0000 && found.physical < t.pointee.flatTop
        let flat = Int(truncatingIfNeeded: found.physical & ~0xFFF)
        let target = isFlat ? GuestMemory.Page(read: flat, write: flat) : withMemory { $0.page(found.physical) }
        let watched = t.pointee.watching && isWatched(page)
        let offset = access == .write ? target.write : target.read
        guard offset >= 0 else {
            return PageAccess(addend: 0, physical: found.physical, dropped: access == .write && target.write == -2)
        }
        let addend = t.pointee.arena &+ UInt(bitPattern: offset) &- UInt(truncatingIfNeeded: page)
        // A page that reads here and writes there (ROM shadowing) keeps only the half that was asked for.
        let same = target.read == target.write
        if slot.pointee.read & ~0xFFF != page && slot.pointee.write & ~0xFFF != page && slot.pointee.execute & ~0xFFF != page || slot.pointee.addend != addend {
            forgetShortcut(slot - t.pointee.systemTLB)
            slot.pointee = TLBEntry(read: TLBEntry.invalid, write: TLBEntry.invalid, execute: TLBEntry.invalid, addend: addend)
            withProcessor { $0.noteFilled(slot - t.pointee.systemTLB, global: found.global) }
        }
        let mark: UInt64 = watched ? 4 : 0
        let debug =
            t.pointee.debugs.contains(.watches) ? t.pointee.processor.watchMarks(page: page, arena: (target.read, target.write)) : (0, 0)
        if target.read >= 0 && (access != .write || same) {
            slot.pointee.read = page | mark | debug.0
            if found.executable { slot.pointee.execute = page }
        }
        if target.write >= 0 && found.writable && found.dirty && (access == .write || same) {
            slot.pointee.write = page | mark | debug.1 | (withMemory { $0.storesAreSlow(target.write &>> 12) } ? 2 : 0)
        }
        return PageAccess(addend: addend, physical: found.physical)
    }

    private func isWatched(_ page: UInt64) -> Bool {
        let dr7 = v.pointee.dr[7]
        for n in 0..<4 where dr7 & (3 &<< UInt64(2 &* n)) != 0 && v.pointee.dr[n] & ~0xFFF == page { return true }
        return false
    }

    /// Page walk with access and dirty bits. Throws #PF with CR2 set.
    func translate(_ address: UInt64, _ access: Access, system: Bool) throws(Fault) -> Translation {
        if !isCanonical(address) { throw .nonCanonical }
        if cr0 & CR0.pg == 0 {
            return Translation(physical: address & 0xFFFF_F000, writable: true, user: true, global: false, dirty: true, executable: true)
        }
        if isLong { return try walkLong(address, access, system: system) }
        return cr4 & CR4.pae != 0 ? try walkPAE(address, access, system: system) : try walk32(address, access, system: system)
    }

    private func pageFault(_ address: UInt64, _ access: Access, system: Bool, present: Bool, reserved: Bool = false) -> Fault {
        v.pointee.cr2 = address
        var code: UInt16 = present ? 1 : 0
        if access == .write { code |= 2 }
        if !system { code |= 4 }
        if reserved { code |= 8 }
        if access == .execute && v.pointee.efer & 0x800 != 0 && cr4 & CR4.pae != 0 { code |= 16 }
        return .page(code)
    }

    /// Supervisor writes honour read-only pages with CR0.WP only.
    @inline(__always)
    private func permits(_ access: Access, system: Bool, user: Bool, writable: Bool) -> Bool {
        if system { return access != .write || writable || cr0 & CR0.wp == 0 }
        return user && (access != .write || writable)
    }

    /// An entry of a paging structure.
    @inline(__always)
    private func entryLoad<T: FixedWidthInteger & UnsignedInteger>(_ address: Physical, as: T.Type) -> T {
        if address >= 0x10_0000 && address < t.pointee.flatTop {
            return UnsafePointer<T>(bitPattern: t.pointee.arena &+ UInt(truncatingIfNeeded: address)).unsafelyUnwrapped.pointee
        }
        return withMemory { $0.load(address, as: T.self) }
    }

    @inline(never)
    private func entryStore<T: FixedWidthInteger & UnsignedInteger>(_ address: Physical, _ value: T) { withMemory { $0.storeUnseen(address, value) } }

    private func walk32(_ address: UInt64, _ access: Access, system: Bool) throws(Fault) -> Translation {
        let directory = (v.pointee.cr3 & 0xFFFF_F000) | ((address &>> 20) & 0xFFC)
        let pde = entryLoad(directory, as: UInt32.self)
        guard pde & 1 != 0 else { throw pageFault(address, access, system: system, present: false) }
        if pde & 0x80 != 0 && cr4 & CR4.pse != 0 {
            // Bits 13–20 carry physical address bits 32–39 (PSE-36); bit 21 is reserved.
            guard pde & 0x20_0000 == 0 else { throw pageFault(address, access, system: system, present: true, reserved: true) }
            let (user, writable) = (pde & 4 != 0, pde & 2 != 0)
            guard permits(access, system: system, user: user, writable: writable) else {
                throw pageFault(address, access, system: system, present: true)
            }
            let updated = pde | 0x20 | (access == .write ? 0x40 : 0)
            if updated != pde { entryStore(directory, updated) }
            let high = UInt64((pde &>> 13) & 0xF) &<< 32
            return Translation(
                physical: high | UInt64(pde & 0xFFC0_0000) | (address & 0x3F_F000),
                writable: writable || (system && cr0 & CR0.wp == 0), user: user, global: pde & 0x100 != 0 && cr4 & CR4.pge != 0,
                dirty: updated & 0x40 != 0, executable: true, large: 0x3F_FFFF)
        }
        let table = UInt64(pde & 0xFFFF_F000) | ((address &>> 10) & 0xFFC)
        let pte = entryLoad(table, as: UInt32.self)
        guard pte & 1 != 0 else { throw pageFault(address, access, system: system, present: false) }
        let (user, writable) = (pde & pte & 4 != 0, pde & pte & 2 != 0)
        guard permits(access, system: system, user: user, writable: writable) else {
            throw pageFault(address, access, system: system, present: true)
        }
        if pde & 0x20 == 0 { entryStore(directory, pde | 0x20) }
        let updated = pte | 0x20 | (access == .write ? 0x40 : 0)
        if updated != pte { entryStore(table, updated) }
        return Translation(
            physical: UInt64(pte & 0xFFFF_F000), writable: writable || (system && cr0 & CR0.wp == 0), user: user,
            global: pte & 0x100 != 0 && cr4 & CR4.pge != 0, dirty: updated & 0x40 != 0, executable: true)
    }

    /// Reads the four pointers at `cr3` into the processor, as MOV CR3, a task switch and changes of CR0 and CR4 do under PAE.
    /// Throws #GP(0) for a reserved bit of a present one; nothing has changed then. SDM Vol. 3A, "PDPTE Registers".
    func loadPointers(cr3: UInt64) throws(Fault) {
        let memory = t.pointee.processor.memory
        let reserved: UInt64 = ~t.pointee.processor.model.frameMask & ~0xE19
        var entries = InlineArray<4, UInt64>(repeating: 0)
        for n in 0..<4 {
            entries[n] = memory.load((cr3 & 0xFFFF_FFE0) &+ UInt64(n &* 8), as: UInt64.self)
            if entries[n] & 1 != 0 && entries[n] & reserved != 0 { throw .generalProtection }
        }
        v.pointee.pdpte = entries
    }

    private func walkPAE(_ address: UInt64, _ access: Access, system: Bool) throws(Fault) -> Translation {
        let nx = v.pointee.efer & 0x800 != 0
        // Bits beyond the physical address space and 52–62 are reserved, 63 is NX.
        let frame = t.pointee.frameMask
        let reservedHigh = ~frame & (nx ? 0x7FFF_FFFF_FFFF_F000 : 0xFFFF_FFFF_FFFF_F000)
        let pdpte = v.pointee.pdpte[Int(truncatingIfNeeded: address &>> 30) & 3]
        guard pdpte & 1 != 0 else { throw pageFault(address, access, system: system, present: false) }
        let directory = (pdpte & frame) | ((address &>> 18) & 0xFF8)
        let pde = entryLoad(directory, as: UInt64.self)
        guard pde & 1 != 0 else { throw pageFault(address, access, system: system, present: false) }
        guard pde & reservedHigh == 0 else { throw pageFault(address, access, system: system, present: true, reserved: true) }
        if pde & 0x80 != 0 {
            guard pde & 0x1F_E000 == 0 else { throw pageFault(address, access, system: system, present: true, reserved: true) }
            let (user, writable, executable) = (pde & 4 != 0, pde & 2 != 0, !nx || pde >> 63 == 0)
            guard permits(access, system: system, user: user, writable: writable), access != .execute || executable else {
                throw pageFault(address, access, system: system, present: true)
            }
            let updated = pde | 0x20 | (access == .write ? 0x40 : 0)
            if updated != pde { entryStore(directory, updated) }
            return Translation(
                physical: (pde & frame & ~0x1F_FFFF) | (address & 0x1F_F000), writable: writable || (system && cr0 & CR0.wp == 0), user: user,
                global: pde & 0x100 != 0 && cr4 & CR4.pge != 0, dirty: updated & 0x40 != 0, executable: executable, large: 0x1F_FFFF)
        }
        let table = (pde & frame) | ((address &>> 9) & 0xFF8)
        let pte = entryLoad(table, as: UInt64.self)
        guard pte & 1 != 0 else { throw pageFault(address, access, system: system, present: false) }
        guard pte & reservedHigh == 0 else { throw pageFault(address, access, system: system, present: true, reserved: true) }
        let (user, writable, executable) = (pde & pte & 4 != 0, pde & pte & 2 != 0, !nx || (pde | pte) >> 63 == 0)
        guard permits(access, system: system, user: user, writable: writable), access != .execute || executable else {
            throw pageFault(address, access, system: system, present: true)
        }
        if pde & 0x20 == 0 { entryStore(directory, pde | 0x20) }
        let updated = pte | 0x20 | (access == .write ? 0x40 : 0)
        if updated != pte { entryStore(table, updated) }
        return Translation(
            physical: pte & frame, writable: writable || (system && cr0 & CR0.wp == 0), user: user,
            global: pte & 0x100 != 0 && cr4 & CR4.pge != 0, dirty: updated & 0x40 != 0, executable: executable)
    }

    /// 4-level paging: PML4, page-directory-pointer table, directory, table; leaves at the last three levels.
    private func walkLong(_ address: UInt64, _ access: Access, system: Bool) throws(Fault) -> Translation {
        let frame = t.pointee.frameMask
        let nx = v.pointee.efer & EFER.nxe != 0
        // Bits 52–62 are ignored here, unlike in PAE paging.
        let reserved = ~frame & (nx ? 0x000F_FFFF_FFFF_F000 : 0x800F_FFFF_FFFF_F000)
        var table = v.pointee.cr3 & frame
        var rights: UInt64 = 6
        var noExecute: UInt64 = 0
        // Entries above the leaf get their accessed bit when the walk is known to succeed.
        var places = InlineArray<4, UInt64>(repeating: 0), entries = InlineArray<4, UInt64>(repeating: 0)
        var level = 3
        while true {
            let place = table | ((address &>> UInt64(9 &+ 9 &* level)) & 0xFF8)
            let entry = entryLoad(place, as: UInt64.self)
            guard entry & 1 != 0 else { throw pageFault(address, access, system: system, present: false) }
            let large = level == 1 || (level == 2 && t.pointee.hasGigabytePages)
            let isLeaf = level == 0 || (entry & 0x80 != 0 && large)
            let size = (4096 as UInt64) &<< UInt64(9 &* level)
            // PS where no leaf may be, address bits below a large page's size (bit 12 is PAT), bits beyond the address space.
            let low: UInt64 = isLeaf ? (level == 0 ? 0 : (size &- 1) & ~0x1FFF) : entry & 0x80
            guard entry & (reserved | low) == 0 else { throw pageFault(address, access, system: system, present: true, reserved: true) }
            rights &= entry
            noExecute |= entry
            (places[level], entries[level]) = (place, entry)
            if !isLeaf {
                table = entry & frame
                level -= 1
                continue
            }
            let (user, writable, executable) = (rights & 4 != 0, rights & 2 != 0, !nx || noExecute >> 63 == 0)
            guard permits(access, system: system, user: user, writable: writable), access != .execute || executable else {
                throw pageFault(address, access, system: system, present: true)
            }
            var above = 3
            while above > level {
                if entries[above] & 0x20 == 0 { entryStore(places[above], entries[above] | 0x20) }
                above -= 1
            }
            let updated = entry | 0x20 | (access == .write ? 0x40 : 0)
            if updated != entry { entryStore(place, updated) }
            return Translation(
                physical: (entry & frame & ~(size &- 1)) | (address & (size &- 1) & ~0xFFF), writable: writable || (system && cr0 & CR0.wp == 0),
                user: user, global: entry & 0x100 != 0 && cr4 & CR4.pge != 0, dirty: updated & 0x40 != 0, executable: executable,
                large: level == 0 ? 0 : size &- 1)
        }
    }

    // MARK: Flushing

    /// Drops translations; with `keepGlobal` those of global pages stay (MOV CR3 with CR4.PGE).
    func flushTLB(keepGlobal: Bool) {
        if tells(.translation) { tell(.flush, number: keepGlobal ? 1 : 0) }
        t.pointee.processor.flushTLB(keepGlobal: keepGlobal)
        bumpGeneration(keepGlobal: keepGlobal)
    }

    /// INVLPG.
    func invalidatePage(_ linear: UInt64) {
        if tells(.translation) { tell(.invalidate, value: linear) }
        let page = linear & ~0xFFF
        let index = Int(truncatingIfNeeded: (page &>> 12) & UInt64(TLBEntry.entries - 1))
        // A large page fills many entries, one for each 4 KiB it was touched in; INVLPG must drop them all.
        if page >= t.pointee.largeLow && page <= t.pointee.largeHigh {
            // Sizes are not kept: all of the gigabyte around it goes.
            dropShortcuts()
            for slot in 0..<(2 * TLBEntry.entries) where t.pointee.systemTLB[slot].addend != 0 {
                let entry = t.pointee.systemTLB[slot]
                let tag = entry.read & TLBEntry.invalid == 0 ? entry.read : entry.write & TLBEntry.invalid == 0 ? entry.write : entry.execute
                if tag & TLBEntry.invalid == 0 && tag >> 30 == page >> 30 { t.pointee.systemTLB[slot] = .none }
            }
            bumpGeneration(keepGlobal: false)
        } else {
            forgetShortcut(index)
            forgetShortcut(TLBEntry.entries + index)
            t.pointee.userTLB[index] = .none
            t.pointee.systemTLB[index] = .none
            if t.pointee.processor.mayJump(to: page, global: true) {
                bumpGeneration(keepGlobal: false)
            } else if t.pointee.processor.mayJump(to: page, global: false) {
                bumpGeneration(keepGlobal: true)
            }
        }
    }

    /// Makes jump-cache entries stale: all, or those that are not on global pages.
    func bumpGeneration(keepGlobal: Bool) {
        t.pointee.generation &+= 1
        // They do not wrap: a branch would take an old epoch for a new one.
        if t.pointee.flushCount < Core.unlinkable { t.pointee.flushCount += 1 }
        if !keepGlobal {
            if t.pointee.globalFlushCount < Core.unlinkable { t.pointee.globalFlushCount += 1 }
            t.pointee.globalFlushes &+= 1
        }
        t.pointee.processor.forgetJumpPages(global: !keepGlobal)
        if t.pointee.generation >= 1 &<< 19 || t.pointee.globalFlushes >= 1 &<< 19 {
            t.pointee.generation = 0
            t.pointee.globalFlushes = 0
            for i in 0..<JumpEntry.entries { t.pointee.jumpCache[i] = JumpEntry(linear: 0, key: .max, block: nil, code: t.pointee.noCode) }
        }
        refreshGenerations()
    }

    // MARK: Segment checks

    /// Limit, type and presence of an access. Throws #GP(0), #SS(0) for SS.
    @inline(__always)
    func checkSegment(_ number: Int, _ s: Segment, _ offset: UInt64, _ bytes: Int, write: Bool) throws(Fault) {
        // Present, writable, expand-up data: the usual case.
        if _fastPath(s.attributes & 0x9E == 0x92 && offset &+ UInt64(bytes &- 1) <= UInt64(s.limit)) { return }
        try checkSegmentSlow(number, s, offset, bytes, write: write)
    }

    @inline(never)
    private func checkSegmentSlow(_ number: Int, _ s: Segment, _ offset: UInt64, _ bytes: Int, write: Bool) throws(Fault) {
        let fault = number == Seg.ss ? Fault.stackFault : Fault.generalProtection
        guard s.isPresent, s.isCodeOrData else { throw fault }
        if s.isCode && !isRealOrV86 {
            // Code: never writable, readable with R.
            guard !write, s.attributes & 2 != 0 else { throw fault }
        } else if write && s.attributes & 2 == 0 && !isRealOrV86 {
            throw fault
        }
        let last = offset &+ UInt64(bytes &- 1)
        if s.isExpandDown {
            let top: UInt64 = s.isBig ? 0xFFFF_FFFF : 0xFFFF
            guard offset > UInt64(s.limit), last <= top else { throw fault }
        } else {
            guard last <= UInt64(s.limit) else { throw fault }
        }
    }
}

extension TLBEntry {
    static let none = TLBEntry(read: invalid, write: invalid, execute: invalid, addend: 0)
}

extension Fault {
    /// Not architectural: take the instruction back and repeat it alone, with exact time.
    static let repeatExactly = Fault(0xFF)
    /// A non-canonical address in 64-bit mode: #SS(0) or #GP(0), which only the instruction knows.
    static let nonCanonical = Fault(0xFE)
    /// The decoder knows the instruction, and nothing here can carry it out. The guest gets #UD.
    static let lacking = Fault(0xFD)
    /// These are not the guest's: vectors from here on are for us alone.
    static let firstInternal: UInt8 = 0xFD
}
