import CPU
import Primitives

/// OASIS virtio 1.2, one buffer of a virtqueue: the descriptors of a chain, checked and in order.
///
/// Source: OASIS *Virtual I/O Device (VIRTIO) Version 1.2* (2022), sections 2.7.4 "Message Framing" and 2.7.5 "The Virtqueue Descriptor
/// Table". How the driver cut the buffer into descriptors means nothing: devices see two runs of bytes, one to read and one to write.
///
/// Not implemented: nothing known.
struct VirtioChain {
    /// Bytes of memory, all of them there when the chain was taken.
    struct Segment: Equatable {
        var address: Physical
        var count: Int
    }
    /// Descriptors in a chain at most (the standard allows a reasonable limit; Linux stays below 256).
    static let longest = 1024

    /// Index of the first descriptor: the name under which the buffer goes back.
    let head: UInt16
    private(set) var readable: [Segment] = []
    private(set) var writable: [Segment] = []
    private(set) var readableBytes = 0
    private(set) var writableBytes = 0

    init(head: UInt16) { self.head = head }

    mutating func append(_ segment: Segment, writable isWritable: Bool) {
        if isWritable {
            writable.append(segment)
            writableBytes += segment.count
        } else {
            readable.append(segment)
            readableBytes += segment.count
        }
    }

    /// Copies from the bytes to read, from `offset` on; what lies beyond their end is left as it was.
    /// - Returns: bytes copied.
    @discardableResult
    func read(_ offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ memory: GuestMemory) -> Int {
        VirtioChain.walk(readable, offset, buffer.count) { address, done, count in
            memory.read(address, into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]))
        }
    }

    /// Copies to the bytes to write, from `offset` on; what does not fit is dropped.
    /// - Returns: bytes copied.
    @discardableResult
    func write(_ offset: Int, from buffer: UnsafeRawBufferPointer, _ memory: GuestMemory) -> Int {
        VirtioChain.walk(writable, offset, buffer.count) { address, done, count in
            memory.write(address, from: UnsafeRawBufferPointer(rebasing: buffer[done..<done + count]))
        }
    }

    /// Up to `count` bytes to read.
    func bytes(_ offset: Int, count: Int, _ memory: GuestMemory) -> [UInt8] {
        let present = max(0, min(count, readableBytes - offset))
        var result = [UInt8](repeating: 0, count: present)
        result.withUnsafeMutableBytes { _ = read(offset, into: $0, memory) }
        return result
    }

    @discardableResult
    func write(_ offset: Int, _ bytes: [UInt8], _ memory: GuestMemory) -> Int { bytes.withUnsafeBytes { write(offset, from: $0, memory) } }

    private static func walk(_ segments: [Segment], _ offset: Int, _ count: Int, _ body: (Physical, Int, Int) -> Void) -> Int {
        var (skip, done) = (offset, 0)
        for segment in segments where done < count {
            if skip >= segment.count {
                skip -= segment.count
                continue
            }
            let piece = min(segment.count - skip, count - done)
            body(segment.address &+ Physical(skip), done, piece)
            done += piece
            skip = 0
        }
        return done
    }
}
