import Glibc
import Primitives

extension GuestMemory {
    /// Gives the 4 KiB page of RAM at `address` back to the host; it reads as zeros until it is written again.
    /// - Returns: false: no RAM there, nothing changed.
    public func release(page address: Physical) -> Bool {
        let page = page(address)
        guard page.read == page.write, page.read >= ram.offset, page.read <= ram.offset + ram.bytes - 4096 else { return false }
        willWrite(page.read, 4096)
        // A hole in the arena's file. A host that cannot make one keeps the page.
        if madvise(base + page.read, 4096, MADV_REMOVE) != 0 { memset(base + page.read, 0, 4096) }
        return true
    }
}
