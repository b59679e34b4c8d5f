import CPU
import Hardware
import Primitives

/// A kernel from the host, with its initrd and command line, and how it is placed in guest memory.
///
/// The firmware runs first; `KernelROM` asks for the placing each time that it is booted, so that a guest that resets the
/// machine comes up with the same kernel again.
struct KernelLoader: Sendable {
    enum Image: Sendable {
        case linux(LinuxImage)
        case flat(FlatImage)
    }
    let image: Image
    let initrd: [UInt8]
    let initrdName: String
    let commandLine: [UInt8]
    private let name: String

    /// - Throws: `.badInput` for files that are not what they should be; `.usage` when this machine has too little memory.
    init(kernel: [UInt8], name: String, initrd: [UInt8]?, initrdName: String = "", commandLine: String, ramBytes: UInt64)
        throws(MachineError)
    {
        guard !kernel.isEmpty else { throw .badInput("The kernel '\(name)' is empty.") }
        if let initrd, initrd.isEmpty { throw .badInput("The initial RAM disk '\(initrdName)' is empty.") }
        if let linux = try LinuxImage(kernel, name: name) {
            image = .linux(linux)
        } else if let flat = try FlatImage(kernel, name: name) {
            image = .flat(flat)
        } else {
            throw .badInput("The kernel '\(name)' is neither a Linux kernel, nor a Multiboot image, nor a 32-bit ELF file.")
        }
        self.name = name
        self.initrd = initrd ?? []
        self.initrdName = initrdName
        self.commandLine = Array(commandLine.utf8)
        try checkSizes(ramBytes)
    }

    private func checkSizes(_ ramBytes: UInt64) throws(MachineError) {
        guard !commandLine.contains(0) else { throw .usage("The kernel's command line contains a zero byte.") }
        let limit =
            switch image {
            case .linux(let linux): linux.commandLineLimit
            case .flat: 4095
            }
        guard commandLine.count <= limit else {
            throw .usage("The kernel's command line has \(commandLine.count) bytes; '\(name)' takes at most \(limit).")
        }
        let end =
            switch image {
            case .linux(let linux): linux.memoryEnd
            case .flat(let flat): flat.segments.map(\.range.upperBound).max() ?? 0
            }
        // The firmware keeps its tables at the end of RAM.
        let needed = end + UInt64(initrd.count) + KernelLoader.firmwareBytes
        guard needed <= PhysicalLayout.holeStart else {
            throw .badInput("The kernel '\(name)' needs memory where PCs have none: it ends at \(needed.hex), RAM at \(PhysicalLayout.holeStart.hex).")
        }
        guard needed <= ramBytes else {
            throw .usage("The kernel '\(name)' needs \((needed + 0xF_FFFF) >> 20) MiB of memory; the machine has \(ramBytes >> 20).")
        }
    }

    /// Room for the firmware's tables above what the kernel needs, in bytes: SeaBIOS takes 128 to 256 KiB.
    private static let firmwareBytes: UInt64 = 0x4_0000

    // MARK: At the hook

    /// Writes everything to guest memory and fills the ROM's parameter block.
    /// - Throws: `.badInput` when the memory map that the firmware gave has no place; nothing has been written then.
    func place(in memory: GuestMemory) throws(MachineError) {
        let map = MemoryMap(memory)
        switch image {
        case .linux(let linux): try place(linux, map, memory)
        case .flat(let flat): try place(flat, map, memory)
        }
    }

    private func place(_ linux: LinuxImage, _ map: MemoryMap, _ memory: GuestMemory) throws(MachineError) {
        let layout = linux.layout
        let systemRange = layout.system..<layout.system + UInt64(linux.system.count)
        guard map.isUsable(systemRange), map.isUsable(layout.setup..<layout.setup + UInt64(layout.heapEnd)) else {
            throw .badInput("The kernel '\(name)' does not fit into the memory that the firmware reports.")
        }
        var initrdPlace: (address: UInt64, bytes: Int)?
        if !initrd.isEmpty {
            let top = min(linux.initrdMaximum &+ 1, 1 << 32)
            guard let address = map.highest(bytes: UInt64(initrd.count), below: top, above: linux.memoryEnd) else {
                throw .badInput(
                    "The initial RAM disk '\(initrdName)' does not fit behind the kernel in the memory that the firmware reports.")
            }
            initrdPlace = (address, initrd.count)
            memory.write(address, initrd)
        }
        memory.write(layout.system, linux.system)
        memory.write(layout.setup, linux.preparedSetup(commandLine: commandLine, initrd: initrdPlace))
        memory.write(layout.commandLine, commandLine + [0])
        var block = [UInt8](repeating: 0, count: 8)
        block.put(UInt16(1), at: 0)
        block.put(UInt16(truncatingIfNeeded: layout.setup >> 4), at: 2)
        block.put(layout.heapEnd, at: 4)
        memory.write(KernelROM.parameters, block)
    }

    private func place(_ flat: FlatImage, _ map: MemoryMap, _ memory: GuestMemory) throws(MachineError) {
        for segment in flat.segments where !map.isUsable(segment.range) || segment.range.overlaps(KernelROM.used) || segment.address < 0x500
        {
            throw .badInput("The kernel '\(name)' does not fit into the memory that the firmware reports.")
        }
        let end = flat.segments.map(\.range.upperBound).max() ?? 0
        var module: Range<UInt64>?
        if !initrd.isEmpty {
            // Modules go behind the kernel on a page of their own, as loaders usually have it.
            let start = (max(end, 0x10_0000) + 0xFFF) & ~0xFFF
            module = start..<start + UInt64(initrd.count)
            guard let module, map.isUsable(module) else {
                throw .badInput("The module '\(initrdName)' does not fit behind the kernel in the memory that the firmware reports.")
            }
        }
        guard let infoAddress = map.lowest(bytes: 0x4000, from: 0x9000, below: 0xA_0000, avoiding: flat.segments.map(\.range)) else {
            throw .badInput("The kernel '\(name)' leaves no low memory for the Multiboot information.")
        }
        for segment in flat.segments {
            memory.write(segment.address, Array(flat.bytes[segment.file]))
            clear(segment.address + UInt64(segment.file.count)..<segment.range.upperBound, memory)
        }
        if let module { memory.write(module.lowerBound, initrd) }
        memory.write(infoAddress, multibootInfo(at: infoAddress, map, module))
        memory.write(KernelROM.parameters, flatParameters(entry: flat.entry, info: infoAddress))
    }

    private func clear(_ range: Range<UInt64>, _ memory: GuestMemory) {
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        var at = range.lowerBound
        while at < range.upperBound {
            let count = min(UInt64(zeros.count), range.upperBound - at)
            memory.write(at, Array(zeros.prefix(Int(count))))
            at += count
        }
    }

    private func flatParameters(entry: UInt32, info: UInt64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 0x38)
        block.put(UInt16(2), at: 0)
        block.put(UInt32(0x2BAD_B002), at: 8)
        block.put(UInt32(truncatingIfNeeded: info), at: 12)
        block.put(entry, at: 16)
        block.put(UInt16(23), at: 20)
        block.put(UInt32(truncatingIfNeeded: KernelROM.gdt), at: 22)
        // Base 0, limit 4 GiB, ring 0: code 0x08 (execute, read), data 0x10 (read, write).
        block.put(UInt64(0x00CF_9A00_0000_FFFF), at: 0x28)
        block.put(UInt64(0x00CF_9200_0000_FFFF), at: 0x30)
        return block
    }

    /// The information structure with all that it points to, at most 0x4000 bytes.
    private func multibootInfo(at address: UInt64, _ map: MemoryMap, _ module: Range<UInt64>?) -> [UInt8] {
        var info = [UInt8](repeating: 0, count: 0x60)
        func here() -> UInt32 { UInt32(truncatingIfNeeded: address) &+ UInt32(info.count) }
        func string(_ text: [UInt8]) -> UInt32 {
            let at = here()
            info += text + [0]
            return at
        }
        var flags: UInt32 = 1 << 0 | 1 << 2 | 1 << 6 | 1 << 9
        info.put(UInt32(min(map.contiguous(from: 0), 0xA_0000) >> 10), at: 4)
        info.put(UInt32(truncatingIfNeeded: map.contiguous(from: 0x10_0000) >> 10), at: 8)
        let line = string(commandLine)
        info.put(line, at: 16)
        if let module {
            flags |= 1 << 3
            let text = string(Array(initrdName.utf8.prefix(1024)))
            let list = here()
            info.append(little: UInt32(truncatingIfNeeded: module.lowerBound))
            info.append(little: UInt32(truncatingIfNeeded: module.upperBound))
            info.append(little: text)
            info.append(little: UInt32(0))
            info.put(UInt32(1), at: 20)
            info.put(list, at: 24)
        }
        let mapStart = here()
        for entry in map.entries {
            info.append(little: UInt32(20))
            info.append(little: entry.base)
            info.append(little: entry.bytes)
            info.append(little: entry.type)
        }
        info.put(here() - mapStart, at: 44)
        info.put(mapStart, at: 48)
        let loader = string(Array("Vitrine".utf8))
        info.put(loader, at: 64)
        info.put(flags, at: 0)
        return info
    }
}

/// The firmware's E820 map as the boot ROM left it in low memory.
struct MemoryMap: Equatable {
    struct Entry: Equatable {
        var base: UInt64
        var bytes: UInt64
        /// 1: usable RAM.
        var type: UInt32
    }
    var entries: [Entry] = []

    init(entries: [Entry]) { self.entries = entries }

    init(_ memory: GuestMemory) {
        let count = min(Int(memory.load(KernelROM.mapCount, as: UInt16.self)), KernelROM.mapLimit)
        for index in 0..<count {
            let at = KernelROM.map + UInt64(20 * index)
            let base = memory.load(at, as: UInt64.self)
            let bytes = memory.load(at + 8, as: UInt64.self)
            // Guest memory, so possibly nonsense: an entry must not wrap around.
            guard bytes > 0, !base.addingReportingOverflow(bytes).overflow else { continue }
            entries.append(Entry(base: base, bytes: bytes, type: memory.load(at + 16, as: UInt32.self)))
        }
    }

    /// Usable RAM, adjoining pieces joined, in ascending order. What another entry reserves is not usable.
    var usable: [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for entry in entries.filter({ $0.type == 1 }).sorted(by: { $0.base < $1.base }) {
            let range = entry.base..<entry.base + entry.bytes
            if let last = ranges.last, range.lowerBound <= last.upperBound {
                ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
        }
        for entry in entries where entry.type != 1 {
            let hole = entry.base..<entry.base + entry.bytes
            ranges = ranges.flatMap { range in
                guard range.overlaps(hole) else { return [range] }
                return [
                    range.lowerBound..<max(range.lowerBound, hole.lowerBound), min(range.upperBound, hole.upperBound)..<range.upperBound,
                ]
                .filter { !$0.isEmpty }
            }
        }
        return ranges
    }

    func isUsable(_ range: Range<UInt64>) -> Bool {
        range.isEmpty || usable.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    /// Bytes of usable RAM from an address on without a gap.
    func contiguous(from address: UInt64) -> UInt64 {
        usable.first { $0.contains(address) }.map { $0.upperBound - address } ?? 0
    }

    /// Page-aligned, as high as possible.
    func highest(bytes: UInt64, below top: UInt64, above bottom: UInt64) -> UInt64? {
        for range in usable.reversed() {
            let end = min(range.upperBound, top)
            let start = max(range.lowerBound, bottom)
            guard end > start, end - start >= bytes else { continue }
            let address = (end - bytes) & ~0xFFF
            if address >= start { return address }
        }
        return nil
    }

    /// Page-aligned, as low as possible, clear of the ranges given.
    func lowest(bytes: UInt64, from bottom: UInt64, below top: UInt64, avoiding: [Range<UInt64>]) -> UInt64? {
        for address in stride(from: (bottom + 0xFFF) & ~0xFFF, to: top, by: 0x1000) {
            let range = address..<address + bytes
            if range.upperBound <= top, isUsable(range), !avoiding.contains(where: range.overlaps) { return address }
        }
        return nil
    }
}
