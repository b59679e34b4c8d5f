import Glibc

/// Which arena pages are written, and what they held before: for going back in time.
///
/// Like a capture (`GuestMemory+Capture`), but without an end: every page is marked, who writes to a marked one first tells of it, and
/// pages are marked anew at each checkpoint. Nothing of it costs anything while there is no journal, and nothing that the guest can notice
/// depends on it.
extension GuestMemory {
    /// Begins one. `sink` gets a page before it is written for the first time since it was last marked. All pages are marked now.
    public func beginJournal(_ sink: @escaping (_ page: Int, UnsafeRawBufferPointer) -> Void) {
        endJournal()
        let marks = UnsafeMutablePointer<Bool>.allocate(capacity: arenaPages)
        marks.initialize(repeating: true, count: arenaPages)
        unwritten = marks
        firstWrite = sink
        slowStores()
    }

    /// These pages are to be told of again.
    public func markAgain(_ pages: some Sequence<Int>) {
        guard let marks = unwritten else { return }
        for page in pages where page >= 0 && page < arenaPages { marks[page] = true }
        slowStores()
    }

    public func endJournal() {
        guard let marks = unwritten else { return }
        unwritten = nil
        firstWrite = nil
        marks.deallocate()
        fastStores()
    }

    func tellFirstWrite(_ page: Int) {
        guard let marks = unwritten, marks[page] else { return }
        marks[page] = false
        firstWrite?(page, bytes(ofPage: page))
    }

    private func bytes(ofPage page: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + page << 12, count: 4096) }

    /// The arena page as it is; the pointer is good for the length of the call.
    /// - Returns: nil: there is no such page.
    public func withPage<R>(_ page: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R? {
        guard page >= 0, page < arenaPages else { return nil }
        return body(bytes(ofPage: page))
    }

    /// Makes a page what `bytes` holds. Only what differs is written, so that decoded code beside it stays.
    /// - Parameter bytes: 4096; nil: zeros.
    public func put(page: Int, _ bytes: UnsafeRawPointer?) {
        guard page >= 0, page < arenaPages else { return }
        let granule = 64
        for offset in stride(from: 0, to: 4096, by: granule) {
            let target = base + page << 12 + offset
            if let bytes {
                guard memcmp(target, bytes + offset, granule) != 0 else { continue }
                willWrite(page << 12 + offset, granule)
                target.copyMemory(from: bytes + offset, byteCount: granule)
            } else {
                let words = target.assumingMemoryBound(to: UInt64.self)
                guard (0..<granule / 8).contains(where: { words[$0] != 0 }) else { continue }
                willWrite(page << 12 + offset, granule)
                memset(target, 0, granule)
            }
        }
    }
}
