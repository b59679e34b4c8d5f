import Glibc
import Primitives

/// A picture of the whole arena as it is at one moment, taken while the guest goes on.
///
/// At the start every page that may hold something is marked, and stores to memory go the slow way. Who writes to a marked page first
/// hands it over as it is; the rest is handed over bit by bit. All of it happens on the machine's thread, so that a page is never read
/// while it changes. Nothing of it costs anything while no capture is under way, and nothing that the guest can notice depends on it:
/// translations stay, only the mark in them that sends stores the slow way comes and goes.
extension GuestMemory {
    struct Capture {
        var sink: ((_ page: Int, UnsafeRawBufferPointer) -> Void)?
        /// Page from which on marked ones may be left.
        var next = 0
        var left = 0
    }

    public var arenaPages: Int { arenaBytes / 4096 }

    /// Begins one. Every page that is not a hole of the arena comes to `sink` once; pages that do not come are zeros.
    public func beginCapture(_ sink: @escaping (_ page: Int, UnsafeRawBufferPointer) -> Void) {
        endCapture()
        let marks = UnsafeMutablePointer<Bool>.allocate(capacity: arenaPages)
        marks.initialize(repeating: false, count: arenaPages)
        for range in usedPages { (marks + range.lowerBound).update(repeating: true, count: range.count) }
        capture = Capture(sink: sink, left: usedPages.reduce(0) { $0 + $1.count })
        uncaptured = marks
        slowStores()
    }

    /// Pages that have yet to be taken.
    public var captureLeft: Int { uncaptured == nil ? 0 : capture.left }

    /// Takes so many more pages.
    /// - Returns: false: all are taken, or there is no capture.
    public func continueCapture(pages: Int) -> Bool {
        guard let marks = uncaptured else { return false }
        var count = 0
        while count < pages, capture.next < arenaPages, capture.left > 0 {
            if marks[capture.next] {
                take(capture.next)
                count += 1
            }
            capture.next += 1
        }
        return capture.left > 0
    }

    /// Stores are fast again; pages that were not taken are forgotten.
    public func endCapture() {
        guard let marks = uncaptured else { return }
        uncaptured = nil
        marks.deallocate()
        capture = Capture()
        fastStores()
    }

    func slowStores() { for attached in processors { attached.processor.slowStores() } }
    func fastStores() { for attached in processors { attached.processor.fastStores() } }

    /// A page as it is, to whoever captures.
    func take(_ page: Int) {
        guard let marks = uncaptured, marks[page] else { return }
        marks[page] = false
        capture.left -= 1
        capture.sink?(page, UnsafeRawBufferPointer(start: base + page << 12, count: 4096))
    }

    /// Arena pages that are no holes in the arena's file; a host that cannot tell gives all of them.
    public var usedPages: [Range<Int>] {
        var ranges: [Range<Int>] = []
        var at = 0
        while at < arenaBytes {
            let data = lseek(descriptor, off_t(at), 3)  // SEEK_DATA
            guard data >= 0 else { return errno == ENXIO ? ranges : [0..<arenaPages] }
            let hole = lseek(descriptor, data, 4)  // SEEK_HOLE
            guard hole > data else { return [0..<arenaPages] }
            ranges.append(data >> 12..<min((hole + 4095) >> 12, arenaPages))
            at = hole
        }
        return ranges
    }

    /// Puts pages that follow each other back, as a capture took them.
    /// - Returns: false: there are no such pages.
    public func restore(page: Int, from bytes: UnsafeRawBufferPointer) -> Bool {
        let count = bytes.count / 4096
        guard page >= 0, page < arenaPages, bytes.count % 4096 == 0, count <= arenaPages - page, let source = bytes.baseAddress else { return false }
        willWrite(page << 12, bytes.count)
        // The arena's file takes them without a fault for each page, and without zeroing it first.
        if pwrite(descriptor, source, bytes.count, page << 12) != bytes.count {
            (base + page << 12).copyMemory(from: source, byteCount: bytes.count)
        }
        return true
    }

    /// The whole arena reads as zeros.
    public func clear() {
        for range in usedPages {
            willWrite(range.lowerBound << 12, range.count << 12)
            if madvise(base + range.lowerBound << 12, range.count << 12, MADV_REMOVE) != 0 {
                memset(base + range.lowerBound << 12, 0, range.count << 12)
            }
        }
    }

    /// Some pages are to be told of at their first write.
    @inline(__always)
    var seesFirstWrites: Bool { uncaptured != nil || unwritten != nil }

    /// Stores to an arena page have to be seen.
    @inline(__always)
    func storesAreSlow(_ page: Int) -> Bool { codeGranules[page] != 0 || uncaptured?[page] == true || unwritten?[page] == true }
}

extension Core {
    /// After a slow store: the next one to the page may be fast when nothing else speaks against it.
    func quickenStores(_ address: UInt64, _ memory: GuestMemory) {
        let page = address & ~0xFFF
        let slot = (isSystemAccess ? t.pointee.systemTLB : t.pointee.userTLB) + Int(truncatingIfNeeded: (page &>> 12) & UInt64(TLBEntry.entries - 1))
        guard slot.pointee.write & ~0xFFF == page, slot.pointee.write & TLBEntry.invalid == 0 else { return }
        let offset = slot.pointee.addend &+ UInt(truncatingIfNeeded: page) &- UInt(bitPattern: memory.base)
        if offset < UInt(memory.arenaBytes), !memory.storesAreSlow(Int(offset) >> 12) { slot.pointee.write &= ~2 }
    }
}

extension Processor {
    private func eachWritable(_ body: (UnsafeMutablePointer<TLBEntry>, _ page: Int) -> Void) {
        let tlb = core.t.pointee.systemTLB
        for index in 0..<(2 * TLBEntry.entries) where tlb[index].write & TLBEntry.invalid == 0 {
            let offset = tlb[index].addend &+ UInt(truncatingIfNeeded: tlb[index].write & ~0xFFF) &- UInt(bitPattern: memory.base)
            if offset < UInt(memory.arenaBytes) { body(tlb + index, Int(offset) >> 12) }
        }
    }

    /// Stores to pages that are to be captured take the slow way from now on.
    func slowStores() {
        core.dropShortcuts()
        eachWritable { slot, page in if memory.storesAreSlow(page) { slot.pointee.write |= 2 } }
    }

    /// Stores take the fast way again where no code lies.
    func fastStores() { eachWritable { slot, page in if !memory.storesAreSlow(page) { slot.pointee.write &= ~2 } } }
}
