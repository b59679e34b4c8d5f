import Glibc
import Primitives

/// Guest-physical memory: one host arena (RAM, ROMs, video memory) and the map from physical pages into it.
///
/// The arena is a `memfd` so that a later engine may map it a second time. Decoded code is keyed by *arena offset*, not by
/// physical address: A20, PAM and BAR changes move windows over the arena but never make decoded code wrong.
///
/// This file and the code cache are the only places with raw host pointers into guest memory; every public call checks its range.
public final class GuestMemory {
    /// A piece of the arena: offset and length in bytes, page-aligned.
    public struct Block: Equatable, Sendable {
        public let offset: Int
        public let bytes: Int
    }

    /// A window of guest-physical space. Where `read` (or `write`) is nil the access goes to the bus as MMIO;
    /// `dropWrites` makes it vanish instead (ROM).
    public struct Window: Equatable, Sendable {
        public var base: Physical
        public var bytes: UInt64
        /// Arena offset that corresponds to `base`.
        public var read: Int?
        public var write: Int?
        public var dropWrites: Bool
        public init(base: Physical, bytes: UInt64, read: Int?, write: Int?, dropWrites: Bool = false) {
            self.base = base
            self.bytes = bytes
            self.read = read
            self.write = write
            self.dropWrites = dropWrites
        }
    }

    /// Where one physical page leads.
    public struct Page: Equatable, Sendable {
        /// Arena offset of the page, -1: MMIO.
        public var read: Int
        /// Arena offset of the page, -1: MMIO, -2: dropped.
        public var write: Int
    }

    public let ramBytes: UInt64
    /// Arena base; page-aligned.
    public let base: UnsafeMutableRawPointer
    public let arenaBytes: Int
    private var allocated: Int
    let descriptor: Int32

    /// RAM: arena offset 0.
    public let ram: Block

    /// Per arena page: bit n set = some processor has decoded code of bytes 64n…64n+63.
    let codeGranules: UnsafeMutablePointer<UInt64>
    /// The processors whose caches depend on this memory.
    private(set) var processors: [Attached] = []
    /// A processor detaches itself before it goes away.
    struct Attached { unowned(unsafe) let processor: Processor }

    private var low = [Page](repeating: Page(read: -1, write: -1), count: 256)  // first MiB by 4 KiB pages
    private var windows: [Window] = []
    /// Physical addresses from 1 MiB up to here are the same number in the arena, readable and writable; 0: none.
    private(set) var flatTop: Physical = 0
    /// While a capture is under way: by arena page, whether it has yet to be taken. See `GuestMemory+Capture`.
    var uncaptured: UnsafeMutablePointer<Bool>?
    var capture = Capture()
    /// While a journal is kept: by arena page, whether it has not been written since it was marked. See `GuestMemory+Journal`.
    var unwritten: UnsafeMutablePointer<Bool>?
    var firstWrite: ((_ page: Int, UnsafeRawBufferPointer) -> Void)?
    /// A debugger watches for writes: it is told of those that no instruction makes.
    var isWatched = false

    /// False: address bit 20 is forced to 0.
    public private(set) var a20 = true

    /// - Parameter extraBytes: room for ROMs and video memory beside RAM.
    /// - Throws: `HostMemoryError` when the host has not enough address space.
    public init(ramBytes: UInt64, extraBytes: Int = 24 << 20) throws(HostMemoryError) {
        self.ramBytes = ramBytes
        let ramRounded = (Int(ramBytes) + 4095) & ~4095
        arenaBytes = ramRounded + extraBytes
        descriptor = GuestMemory.anonymousFile("vitrine-guest")
        guard descriptor >= 0, ftruncate(descriptor, arenaBytes) == 0 else { throw HostMemoryError(bytes: arenaBytes) }
        // Fault-in order is the guest's; nothing is reserved in swap until touched.
        guard let p = mmap(nil, arenaBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0), p != MAP_FAILED else {
            close(descriptor)
            throw HostMemoryError(bytes: arenaBytes)
        }
        base = p
        let pages = arenaBytes / 4096
        codeGranules = .allocate(capacity: pages)
        codeGranules.initialize(repeating: 0, count: pages)
        ram = Block(offset: 0, bytes: ramRounded)
        allocated = ramRounded
    }

    deinit {
        munmap(base, arenaBytes)
        close(descriptor)
        codeGranules.deallocate()
        uncaptured?.deallocate()
        unwritten?.deallocate()
    }

    /// `memfd_create` is not visible through the Glibc module (it wants _GNU_SOURCE).
    private static func anonymousFile(_ name: String) -> Int32 {
        typealias Create = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
        guard let symbol = dlsym(nil, "memfd_create") else { return -1 }
        return name.withCString { unsafeBitCast(symbol, to: Create.self)($0, 1) }
    }

    /// Takes `bytes` (rounded up to pages) from the arena for a ROM or video memory. The caller asked for enough at init.
    public func allocate(bytes: Int) -> Block {
        let rounded = (bytes + 4095) & ~4095
        precondition(allocated + rounded <= arenaBytes, "the board asked for more extra memory than it reserved")
        defer { allocated += rounded }
        return Block(offset: allocated, bytes: rounded)
    }

    /// Copies into a block: ROM images, kernels. Goes through the code check like any other write.
    public func fill(_ block: Block, at offset: Int, with bytes: UnsafeRawBufferPointer) {
        precondition(offset >= 0 && bytes.count <= block.bytes - offset, "image larger than its block")
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        willWrite(block.offset + offset, bytes.count)
        (base + block.offset + offset).copyMemory(from: source, byteCount: bytes.count)
    }

    public func withBytes<R>(of block: Block, _ body: (UnsafeMutableRawBufferPointer) -> R) -> R {
        body(UnsafeMutableRawBufferPointer(start: base + block.offset, count: block.bytes))
    }

    // MARK: Map

    /// Replaces the whole map. Later windows lie over earlier ones.
    public func setMap(_ new: [Window]) {
        windows = new
        for index in 0..<256 { low[index] = search(Physical(index) << 12) }
        mapChanged()
    }

    /// Looks for the end of `flatTop`.
    private func findFlat() {
        flatTop = 0
        let start: Physical = 0x10_0000
        guard a20, search(start) == Page(read: Int(start), write: Int(start)) else { return }
        guard let index = windows.lastIndex(where: { start >= $0.base && start - $0.base < $0.bytes }) else { return }
        var top = windows[index].base + windows[index].bytes
        for window in windows[(index + 1)...] where window.base + window.bytes > start && window.base < top { top = max(window.base, start) }
        flatTop = top & ~0xFFF
    }

    public func setA20(_ enabled: Bool) {
        guard enabled != a20 else { return }
        a20 = enabled
        mapChanged()
    }

    private func mapChanged() {
        findFlat()
        for attached in processors { attached.processor.mapChanged() }
    }

    private func search(_ page: Physical) -> Page {
        for window in windows.reversed() where page >= window.base && page - window.base < window.bytes {
            let delta = Int(page - window.base)
            return Page(
                read: window.read.map { $0 + delta } ?? -1,
                write: window.write.map { $0 + delta } ?? (window.dropWrites ? -2 : -1))
        }
        return Page(read: -1, write: -1)
    }

    /// Where the page that holds `address` leads, after A20.
    public func page(_ address: Physical) -> Page {
        let gated = gate(address) & ~0xFFF
        return gated < 0x10_0000 ? low[Int(gated >> 12)] : search(gated)
    }

    @inline(__always)
    public func gate(_ address: Physical) -> Physical { a20 ? address : address & ~0x10_0000 }

    // MARK: Access for bus masters and loaders

    /// Reads guest-physical bytes; where there is no memory, ones.
    public func read(_ address: Physical, into buffer: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < buffer.count {
            let at = address &+ Physical(done)
            let chunk = min(buffer.count - done, 4096 - Int(at & 0xFFF))
            let source = page(at).read
            let target = buffer.baseAddress! + done
            if source >= 0 {
                target.copyMemory(from: base + source + Int(at & 0xFFF), byteCount: chunk)
            } else {
                memset(target, 0xFF, chunk)
            }
            done += chunk
        }
    }

    /// Writes guest-physical bytes; where there is no RAM, nothing happens. Decoded code under them is dropped.
    public func write(_ address: Physical, from buffer: UnsafeRawBufferPointer) { write(address, from: buffer, isMaster: true) }

    /// What processors and debuggers do by themselves is no bus master's.
    func writeUnseen(_ address: Physical, _ bytes: [UInt8]) { bytes.withUnsafeBytes { write(address, from: $0, isMaster: false) } }
    func storeUnseen<T: FixedWidthInteger & UnsignedInteger>(_ address: Physical, _ value: T) {
        withUnsafeBytes(of: value) { write(address, from: $0, isMaster: false) }
    }

    private func write(_ address: Physical, from buffer: UnsafeRawBufferPointer, isMaster: Bool) {
        var done = 0
        while done < buffer.count {
            let at = address &+ Physical(done)
            let chunk = min(buffer.count - done, 4096 - Int(at & 0xFFF))
            let target = page(at).write
            if target >= 0 {
                let offset = target + Int(at & 0xFFF)
                if isWatched, isMaster { tellWatchers(offset, chunk) }
                willWrite(offset, chunk)
                (base + offset).copyMemory(from: buffer.baseAddress! + done, byteCount: chunk)
            }
            done += chunk
        }
    }

    public func read(_ address: Physical, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            read(address, into: UnsafeMutableRawBufferPointer(buffer))
            initialized = count
        }
    }

    public func write(_ address: Physical, _ bytes: [UInt8]) { bytes.withUnsafeBytes { write(address, from: $0) } }

    /// A little-endian integer; all ones where there is no memory.
    public func load<T: FixedWidthInteger & UnsignedInteger>(_ address: Physical, as: T.Type) -> T {
        var value = T.max
        withUnsafeMutableBytes(of: &value) { read(address, into: $0) }
        return value
    }

    public func store<T: FixedWidthInteger & UnsignedInteger>(_ address: Physical, _ value: T) {
        withUnsafeBytes(of: value) { write(address, from: $0) }
    }

    // MARK: Access for a chip whose memory lies in the arena (video memory)

    /// The block with these bounds; nil when it does not lie in the arena, so that a damaged snapshot cannot name one.
    public func block(offset: Int, bytes: Int) -> Block? {
        guard offset >= 0, bytes >= 0, offset <= arenaBytes, bytes <= arenaBytes - offset else { return nil }
        return Block(offset: offset, bytes: bytes)
    }

    /// `size` (1, 2, 4 or 8) little-endian bytes at an arena offset; all ones outside the arena.
    public func loadArena(_ offset: Int, size: Int) -> UInt64 {
        guard offset >= 0, offset <= arenaBytes &- size else { return .max >> UInt64(64 &- 8 &* size) }
        switch size {
        case 1: return UInt64(base.load(fromByteOffset: offset, as: UInt8.self))
        case 2: return UInt64(base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        case 4: return UInt64(base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        default: return base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        }
    }

    /// Stores `size` (1, 2, 4 or 8) little-endian bytes at an arena offset; outside the arena nothing happens.
    public func storeArena(_ offset: Int, size: Int, _ value: UInt64) {
        guard offset >= 0, offset <= arenaBytes &- size else { return }
        willWrite(offset, size)
        switch size {
        case 1: base.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: offset, as: UInt8.self)
        case 2: base.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: offset, as: UInt16.self)
        case 4: base.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
        default: base.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
        }
    }

    /// Four planes at once: the 32-bit word at an arena offset; all ones outside the arena.
    public func loadArena32(_ offset: Int) -> UInt32 {
        guard offset >= 0, offset <= arenaBytes &- 4 else { return .max }
        return base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    /// Replaces the bits of `mask` in the 32-bit word at an arena offset; outside the arena nothing happens.
    public func storeArena32(_ offset: Int, _ value: UInt32, mask: UInt32) {
        guard offset >= 0, offset <= arenaBytes &- 4 else { return }
        willWrite(offset, 4)
        let old = base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        base.storeBytes(of: (old & ~mask) | (value & mask), toByteOffset: offset, as: UInt32.self)
    }

    /// Clears part of the arena; the part outside it is ignored.
    public func zeroArena(_ offset: Int, count: Int) {
        guard offset >= 0, offset < arenaBytes, count > 0 else { return }
        let length = min(count, arenaBytes - offset)
        willWrite(offset, length)
        memset(base + offset, 0, length)
    }

    /// Drops decoded code under arena bytes that are about to change.
    @inline(__always)
    func willWrite(_ offset: Int, _ count: Int) {
        var at = offset
        let end = offset + count
        while at < end {
            let chunk = min(end - at, 4096 - (at & 0xFFF))
            if codeGranules[at >> 12] != 0 { for attached in processors { attached.processor.blocks.invalidate(at, chunk) } }
            if let uncaptured, uncaptured[at >> 12] { take(at >> 12) }
            if let unwritten, unwritten[at >> 12] { tellFirstWrite(at >> 12) }
            at += chunk
        }
    }

    // MARK: Processors

    /// The first processor whose watch lies there stands for it.
    private func tellWatchers(_ offset: Int, _ count: Int) {
        for attached in processors where attached.processor.noteMaster(offset, count) { return }
    }

    func attach(_ processor: Processor) {
        processors.append(Attached(processor: processor))
        processor.noteMap()
    }
    func detach(_ processor: Processor) { processors.removeAll { $0.processor === processor } }

    /// A processor decoded code of these granules of a page. On the first of a page the stores of all take the slow way from now on.
    func addCode(_ page: Int, _ granules: UInt64) {
        let old = codeGranules[page]
        codeGranules[page] = old | granules
        if old == 0 { for attached in processors { attached.processor.markCodePage(page) } }
    }

    /// A processor dropped decoded code of a page: what is left is what all of them hold.
    func recountCode(_ page: Int) {
        var granules: UInt64 = 0
        for attached in processors { granules |= attached.processor.blocks.granules[page] }
        codeGranules[page] = granules
    }
}

/// The host refused memory for the guest.
public struct HostMemoryError: Error, Equatable, Sendable {
    /// What was asked for.
    public let bytes: Int
}
