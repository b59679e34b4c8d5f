/// The head of a VDI image, checked.
///
/// Source: the layout that VirtualBox documents for its "Virtual Disk Image" format, version 1.1: 64 bytes of text, signature, version, header
/// size, type, flags, 256 bytes of comment, offsets of map and data, an old geometry, disk size, block size, counts, four UUIDs, a geometry.
struct VDIHeader: Equatable {
    static let signature: [UInt8] = [0x7F, 0x10, 0xDA, 0xBE]
    static let signatureOffset = 0x40
    static let allocatedOffset: UInt64 = 0x184
    /// Head with the second geometry.
    static let bytes = 0x1D8
    /// More than any disk needs; keeps sums far from overflow.
    static let maximumBlocks: UInt64 = 0x3FFF_FFFF

    /// A block of the map that is nowhere in the file: nobody has written it, or it was given back. Both read as zeros.
    static let unallocated: UInt32 = 0xFFFF_FFFF
    static let zero: UInt32 = 0xFFFF_FFFE

    var isFixed: Bool
    var mapOffset: UInt64
    var dataOffset: UInt64
    var diskBytes: UInt64
    var blockBytes: UInt64
    /// Before the data of every block.
    var extraBytes: UInt64
    var blocks: UInt64
    var allocated: UInt64

    var stride: UInt64 { blockBytes + extraBytes }

    /// - Parameter head: the first `bytes` of the file, or all of a shorter one.
    /// - Throws: a clause: what is wrong with it.
    init(_ head: [UInt8], fileBytes: UInt64) throws(VDIProblem) {
        guard head.count >= 0x1C8 else { throw .damaged("the file ends in its header") }
        func word(_ offset: Int) -> UInt64 { (0..<4).reduce(0) { $0 | UInt64(head[offset + $1]) << (8 * UInt64($1)) } }
        let version = word(0x44)
        guard version >> 16 == 1 else { throw .notSupported("VDI \(version >> 16).\(version & 0xFFFF)") }
        let headerBytes = word(0x48)
        guard (0x180...0x10000).contains(headerBytes) else { throw .damaged("its header says that it has \(headerBytes) bytes") }
        switch word(0x4C) {
        case 1: isFixed = false
        case 2: isFixed = true
        case 3, 4: throw .notSupported("differencing VDI")
        case let type: throw .damaged("there is no image type \(type)")
        }
        guard head[0x1A8..<0x1C8].allSatisfy({ $0 == 0 }) else { throw .notSupported("differencing VDI") }
        mapOffset = word(0x154)
        dataOffset = word(0x158)
        guard word(0x168) == 512 else { throw .notSupported("VDI with sectors of \(word(0x168)) bytes") }
        diskBytes = word(0x170) | word(0x174) << 32
        blockBytes = word(0x178)
        extraBytes = word(0x17C)
        blocks = word(0x180)
        allocated = word(0x184)
        guard blockBytes.nonzeroBitCount == 1, (4096...(1 << 28)).contains(blockBytes) else {
            throw .damaged("its blocks have \(blockBytes) bytes, which is no power of two from 4096 on")
        }
        guard extraBytes % 512 == 0, extraBytes <= blockBytes else { throw .damaged("\(extraBytes) bytes stand before each block") }
        guard blocks > 0, blocks <= VDIHeader.maximumBlocks else { throw .damaged("it has \(blocks) blocks") }
        guard diskBytes >= 512, diskBytes <= blocks * blockBytes else {
            throw .damaged("a disk of \(diskBytes) bytes is not in \(blocks) blocks of \(blockBytes) bytes")
        }
        guard mapOffset >= 0x48 + headerBytes, mapOffset % 4 == 0, mapOffset + 4 * blocks <= dataOffset, mapOffset + 4 * blocks <= fileBytes
        else {
            throw .damaged("its block map lies from \(mapOffset) on, where it has no room")
        }
        guard dataOffset % 512 == 0 else { throw .damaged("its data begins at \(dataOffset), in the middle of a sector") }
        guard allocated <= blocks else { throw .damaged("\(allocated) of \(blocks) blocks are allocated") }
    }

    /// Of a new image.
    init(diskBytes: UInt64, isFixed: Bool) {
        self.isFixed = isFixed
        self.diskBytes = diskBytes
        blockBytes = 1 << 20
        extraBytes = 0
        blocks = (diskBytes + blockBytes - 1) / blockBytes
        allocated = isFixed ? blocks : 0
        mapOffset = 4096
        dataOffset = (mapOffset + 4 * blocks + blockBytes - 1) / blockBytes * blockBytes
    }

    /// As it stands in the file.
    func encoded() -> [UInt8] {
        var head = Array("<<< VDI disk image, made by Vitrine >>>\n".utf8)
        head += [UInt8](repeating: 0, count: VDIHeader.bytes - head.count)
        func put(_ offset: Int, _ value: UInt64, _ count: Int = 4) {
            for i in 0..<count { head[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(i))) }
        }
        head.replaceSubrange(0x40..<0x44, with: VDIHeader.signature)
        put(0x44, 0x1_0001)
        put(0x48, UInt64(VDIHeader.bytes - 0x48))
        put(0x4C, isFixed ? 2 : 1)
        put(0x154, mapOffset)
        put(0x158, dataOffset)
        put(0x168, 512)
        put(0x170, diskBytes, 8)
        put(0x178, blockBytes)
        put(0x17C, extraBytes)
        put(0x180, blocks)
        put(0x184, allocated)
        // Image and modification are random UUIDs; no link, no parent.
        for offset in [0x188, 0x198] {
            put(offset, .random(in: 0...(.max)), 8)
            put(offset + 8, .random(in: 0...(.max)), 8)
            head[offset + 7] = head[offset + 7] & 0x0F | 0x40
            head[offset + 8] = head[offset + 8] & 0x3F | 0x80
        }
        put(0x1D4, 512)
        return head
    }
}

/// Why a VDI image is not used.
enum VDIProblem: Error {
    case notSupported(String)
    case damaged(String)
}
