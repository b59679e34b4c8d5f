/// A kernel entered in flat 32-bit protected mode: Multiboot 1 (ELF32, ELF64 with a 32-bit entry, a.out kludge) or plain ELF32.
///
/// Source: Free Software Foundation, *Multiboot Specification* 0.6.96, section 3; *System V ABI*, "Object Files" (ELF).
///
/// Not implemented: the video mode request of flag 2 (the screen stays in text mode 3), symbol tables for the kernel
/// (info flags 4 and 5), Multiboot 2.
struct FlatImage: Sendable {
    /// File bytes that go to physical memory; `memoryBytes` beyond them are zeroed.
    struct Segment: Sendable {
        var address: UInt64
        var file: Range<Int>
        var memoryBytes: UInt64
        var range: Range<UInt64> { address..<address + memoryBytes }
    }
    let bytes: [UInt8]
    var segments: [Segment]
    var entry: UInt32
    let isMultiboot: Bool

    /// - Returns: nil when the file is neither.
    /// - Throws: `.badInput` when it is one, but cut off or with fields that contradict each other.
    init?(_ bytes: [UInt8], name: String) throws(MachineError) {
        let file = LittleEndian(bytes: bytes)
        let header = FlatImage.multibootHeader(file)
        let isELF = file.u32(0) == 0x464C_457F
        guard header != nil || isELF else { return nil }
        self.bytes = bytes
        isMultiboot = header != nil
        if let header {
            // Bits 0–15 are requirements: page-aligned modules, memory information, video mode. Others are unknown.
            guard header.flags & 0xFFF8 == 0 else {
                throw .badInput("The kernel '\(name)' requires Multiboot features that are not known here (flags \(header.flags.hex)).")
            }
        }
        if let header, header.flags & 0x1_0000 != 0 {
            (segments, entry) = try FlatImage.kludge(file, header: header.offset, name: name)
        } else {
            guard isELF else { throw .badInput("The kernel '\(name)' has a Multiboot header but neither ELF nor load addresses.") }
            (segments, entry) = try FlatImage.elf(file, name: name, allow64: header != nil)
        }
        try check(name)
    }

    // MARK: Headers

    /// The header is within the first 8192 bytes, 4-byte aligned; magic, flags and checksum add up to zero.
    private static func multibootHeader(_ file: LittleEndian) -> (offset: Int, flags: UInt32)? {
        for offset in stride(from: 0, to: min(8192, file.bytes.count) - 11, by: 4) where file.u32(offset) == 0x1BAD_B002 {
            if let flags = file.u32(offset + 4), let sum = file.u32(offset + 8), 0x1BAD_B002 &+ flags &+ sum == 0 { return (offset, flags) }
        }
        return nil
    }

    private static func kludge(_ file: LittleEndian, header: Int, name: String) throws(MachineError) -> ([Segment], UInt32) {
        guard let headerAddress = file.u32(header + 12), let load = file.u32(header + 16), let loadEnd = file.u32(header + 20),
            let bssEnd = file.u32(header + 24), let entry = file.u32(header + 28)
        else { throw .badInput("The kernel '\(name)' is cut off inside its Multiboot header.") }
        let contradiction = MachineError.badInput("The kernel '\(name)' has a Multiboot header whose addresses contradict each other.")
        guard load <= headerAddress, Int(headerAddress - load) <= header else { throw contradiction }
        let start = header - Int(headerAddress - load)
        let count = loadEnd == 0 ? file.bytes.count - start : Int(loadEnd) - Int(load)
        guard count > 0 else { throw contradiction }
        guard count <= file.bytes.count - start else {
            throw .badInput(
                "The kernel '\(name)' is cut off: its header announces \(start + count) bytes, the file has \(file.bytes.count).")
        }
        let end = UInt64(load) + UInt64(count)
        guard bssEnd == 0 || UInt64(bssEnd) >= end else { throw contradiction }
        let memory = max(end, UInt64(bssEnd)) - UInt64(load)
        return ([Segment(address: UInt64(load), file: start..<start + count, memoryBytes: memory)], entry)
    }

    /// Loadable segments by physical address. ELF64 is taken only with a Multiboot header, and is entered in 32-bit mode.
    private static func elf(_ file: LittleEndian, name: String, allow64: Bool) throws(MachineError) -> ([Segment], UInt32) {
        let broken = MachineError.badInput("The kernel '\(name)' has a broken ELF header.")
        guard let kind = file.u8(4), let order = file.u8(5), let machine = file.u16(18), let type = file.u16(16) else { throw broken }
        guard kind == 1 || kind == 2, order == 1 else { throw broken }
        let wide = kind == 2
        guard type == 2, machine == 3 || (wide && machine == 62) else {
            throw .badInput("The kernel '\(name)' is an ELF file, but not an executable for x86.")
        }
        guard !wide || allow64 else {
            throw .badInput("The kernel '\(name)' is a 64-bit ELF file without a Multiboot header; only 32-bit ones start by themselves.")
        }
        func word(_ at: Int, _ wideAt: Int) -> UInt64? { wide ? file.u64(wideAt) : file.u32(at).map(UInt64.init) }
        guard let entry = word(24, 24), let tableOffset = word(28, 32), let size = file.u16(wide ? 54 : 42),
            let count = file.u16(wide ? 56 : 44),
            let table = Int(exactly: tableOffset), table < file.bytes.count, Int(size) >= (wide ? 56 : 32), count > 0
        else { throw broken }
        var segments: [Segment] = []
        var physicalEntry: UInt64?
        for index in 0..<Int(count) {
            let at = table + index * Int(size)
            guard let kind = file.u32(at) else { throw broken }
            guard kind == 1 else { continue }  // PT_LOAD
            func field(_ narrow: Int, _ wideOffset: Int) -> UInt64? { word(at + narrow, at + wideOffset) }
            guard let offset = field(4, 8), let virtual = field(8, 16), let physical = field(12, 24), let fileBytes = field(16, 32),
                let memoryBytes = field(20, 40)
            else { throw broken }
            guard let start = Int(exactly: offset), let length = Int(exactly: fileBytes), start <= file.bytes.count,
                length <= file.bytes.count - start
            else { throw .badInput("The kernel '\(name)' is cut off: a segment lies behind the end of the file.") }
            guard memoryBytes >= fileBytes, memoryBytes <= 1 << 32, physical <= 1 << 32 else { throw broken }
            if memoryBytes == 0 { continue }
            segments.append(Segment(address: physical, file: start..<start + length, memoryBytes: memoryBytes))
            // The entry is a virtual address; where the two differ it moves with its segment.
            if entry >= virtual, entry - virtual < memoryBytes { physicalEntry = physicalEntry ?? physical + (entry - virtual) }
        }
        guard let start = UInt32(exactly: physicalEntry ?? entry) else { throw broken }
        return (segments, start)
    }

    private func check(_ name: String) throws(MachineError) {
        guard !segments.isEmpty else { throw .badInput("The kernel '\(name)' has nothing to load.") }
        let sorted = segments.sorted { $0.address < $1.address }
        for (segment, next) in zip(sorted, sorted.dropFirst()) where segment.range.upperBound > next.address {
            throw .badInput("The kernel '\(name)' has segments that lie over each other.")
        }
        guard let end = sorted.last?.range.upperBound, end <= 1 << 32 else {
            throw .badInput("The kernel '\(name)' wants to be loaded above 4 GiB.")
        }
        guard segments.contains(where: { $0.range.contains(UInt64(entry)) }) else {
            throw .badInput("The kernel '\(name)' begins at \(entry.hex), where it loads nothing.")
        }
    }
}
