import Glibc

/// Old contents of pages and of blocks of disks, 4 KiB each, in slabs.
final class PagePool {
    static let pageBytes = 4096
    /// Stands for a page of zeros.
    static let zeros: Int32 = -1
    private static let slabPages = 256
    private var slabs: [UnsafeMutableRawPointer] = []
    private var free: [Int32] = []
    private(set) var used = 0
    var bytes: Int { used * PagePool.pageBytes }

    deinit { for slab in slabs { slab.deallocate() } }

    /// - Parameter bytes: at most 4096; the rest is zeros.
    func store(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        if PagePool.isZero(bytes) { return PagePool.zeros }
        if free.isEmpty { grow() }
        let page = free.removeLast()
        used += 1
        let target = address(page)
        if let source = bytes.baseAddress { target.copyMemory(from: source, byteCount: min(bytes.count, PagePool.pageBytes)) }
        if bytes.count < PagePool.pageBytes { memset(target + bytes.count, 0, PagePool.pageBytes - bytes.count) }
        return page
    }

    func release(_ page: Int32) {
        guard page >= 0 else { return }
        free.append(page)
        used -= 1
        // Slabs stay until the recording ends: what it took once it will take again.
    }

    /// nil: zeros.
    func contents(_ page: Int32) -> UnsafeRawPointer? { page < 0 ? nil : UnsafeRawPointer(address(page)) }

    private func address(_ page: Int32) -> UnsafeMutableRawPointer {
        slabs[Int(page) / PagePool.slabPages] + Int(page) % PagePool.slabPages * PagePool.pageBytes
    }

    private func grow() {
        let first = Int32(slabs.count * PagePool.slabPages)
        slabs.append(.allocate(byteCount: PagePool.slabPages * PagePool.pageBytes, alignment: PagePool.pageBytes))
        free.append(contentsOf: (first..<first + Int32(PagePool.slabPages)).reversed())
    }

    static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return true }
        return bytes[0] == 0 && memcmp(start, start + 1, bytes.count - 1) == 0
    }
}
