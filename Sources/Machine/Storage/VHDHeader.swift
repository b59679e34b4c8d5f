import Glibc

/// The footer of a VHD image and the second header of one that grows, checked.
///
/// Source: Microsoft *Virtual Hard Disk Image Format Specification* 1.0 (2006): big-endian fields; a footer of 512 bytes at the end, with a copy
/// at the start of images that grow; a header of 1024 bytes; a table of blocks, each with a bitmap of its sectors before it.
///
/// The disk's size is the footer's current size, not its geometry. Not implemented: splitting over files, the saved state, parent locators of
/// other systems than W2ru.
struct VHDHeader: Equatable {
    static let cookie = Array("conectix".utf8), sparseCookie = Array("cxsparse".utf8)
    static let footerBytes = 512, sparseBytes = 1024
    static let unused: UInt32 = 0xFFFF_FFFF
    /// The table counts sectors with 32 bits.
    static let largest: UInt64 = 2040 << 30
    enum Kind: UInt64 { case fixed = 2, dynamic, differencing }
    enum Offset {
        static let sparse = 16, size = 48, kind = 60, checksum = 64, id = 68
        static let table = 16, entries = 28, block = 32, sparseChecksum = 36, parentID = 40, parentName = 64, locators = 576
    }
    private static let relativeName: UInt64 = 0x5732_7275  // W2ru

    var kind: Kind
    var diskBytes: UInt64
    var id: [UInt8]
    /// As it stands in the file.
    var footer: [UInt8]
    var sparseOffset: UInt64 = 0
    var tableOffset: UInt64 = 0
    var entries: UInt64 = 0
    var blockBytes: UInt64 = 0
    var parentID: [UInt8] = []
    var parentPath: String?

    /// Before each block.
    var bitmapBytes: UInt64 { (blockBytes / 4096 + 511) / 512 * 512 }

    /// - Throws: what is wrong with it.
    init(_ file: HostFile) throws(ImageProblem) {
        guard let footer = VHDHeader.footer(of: file) else { throw .damaged("the checksum of its footer is wrong") }
        self.footer = footer
        guard footer.big(12) >> 16 == 1 else { throw .notSupported("VHD \(footer.big(12) >> 16).\(footer.big(12) & 0xFFFF)") }
        guard let kind = Kind(rawValue: footer.big(Offset.kind)) else { throw .damaged("there is no image type \(footer.big(Offset.kind))") }
        self.kind = kind
        diskBytes = footer.big(Offset.size, 8)
        id = footer.part(Offset.id, 16)
        guard diskBytes >= 512, diskBytes <= 1 << 42 else { throw .damaged("its disk has \(diskBytes) bytes") }
        if kind == .fixed {
            guard VHDHeader.isFooter(file.peek(file.bytes - 512, count: 512)), diskBytes <= file.bytes - 512 else {
                throw .damaged("a disk of \(diskBytes) bytes is not in a file of \(file.bytes)")
            }
            return
        }
        try readSparse(file)
    }

    /// The end may have been lost; images that grow have a copy at the start.
    static func footer(of file: HostFile) -> [UInt8]? {
        let places = [file.bytes >= 512 ? file.peek(file.bytes - 512, count: 512) : [], file.peek(0, count: 512)]
        return places.first(where: isFooter)
    }

    private mutating func readSparse(_ file: HostFile) throws(ImageProblem) {
        sparseOffset = footer.big(Offset.sparse, 8)
        let sparse = sparseOffset <= file.bytes ? file.peek(sparseOffset, count: VHDHeader.sparseBytes) : []
        guard sparse.count == VHDHeader.sparseBytes, sparse.starts(with: VHDHeader.sparseCookie),
            sparse.big(Offset.sparseChecksum) == VHDHeader.sum(sparse, Offset.sparseChecksum)
        else { throw .damaged("its second header at \(sparseOffset) is not one, or its checksum is wrong") }
        tableOffset = sparse.big(Offset.table, 8)
        entries = sparse.big(Offset.entries)
        blockBytes = sparse.big(Offset.block)
        guard blockBytes.nonzeroBitCount == 1, (4096...(1 << 26)).contains(blockBytes) else {
            throw .damaged("its blocks have \(blockBytes) bytes, which is no power of two from 4096 to 64 MiB")
        }
        guard entries <= 1 << 23, diskBytes <= entries * blockBytes else {
            throw .damaged("a disk of \(diskBytes) bytes is not in \(entries) blocks of \(blockBytes) bytes")
        }
        guard tableOffset % 512 == 0, tableOffset <= file.bytes, entries * 4 <= file.bytes - tableOffset else {
            throw .damaged("its block table lies at \(tableOffset), where it has no room")
        }
        guard kind == .differencing else { return }
        parentID = sparse.part(Offset.parentID, 16)
        parentPath = VHDHeader.parentPath(sparse, file)
    }

    /// From the locator that is relative to the image, or the bare name.
    private static func parentPath(_ sparse: [UInt8], _ file: HostFile) -> String? {
        for i in 0..<8 {
            let at = Offset.locators + 24 * i
            guard sparse.big(at) == relativeName else { continue }
            let count = sparse.big(at + 8), offset = sparse.big(at + 16, 8)
            guard count > 0, count <= 4096, offset <= file.bytes else { continue }
            let bytes = file.peek(offset, count: Int(count))
            let units = stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
            return unixPath(String(decoding: units.prefix { $0 != 0 }, as: UTF16.self))
        }
        let name = sparse.part(Offset.parentName, 512)
        let units = stride(from: 0, to: name.count - 1, by: 2).map { UInt16(name[$0]) << 8 | UInt16(name[$0 + 1]) }
        let text = unixPath(String(decoding: units.prefix { $0 != 0 }, as: UTF16.self))
        return text.split(separator: "/").last.map(String.init)
    }

    private static func unixPath(_ text: String) -> String {
        let path = String(text.map { $0 == "\\" ? "/" : $0 })
        return path.hasPrefix("./") ? String(path.dropFirst(2)) : path
    }

    static func isFooter(_ bytes: [UInt8]) -> Bool {
        bytes.count == footerBytes && bytes.starts(with: cookie) && bytes.big(Offset.checksum) == sum(bytes, Offset.checksum)
    }

    /// One's complement of the sum of all bytes but the checksum's.
    static func sum(_ bytes: [UInt8], _ at: Int) -> UInt64 {
        var total: UInt32 = 0
        for (i, byte) in bytes.enumerated() where i < at || i >= at + 4 { total &+= UInt32(byte) }
        return UInt64(~total)
    }

    // MARK: New images

    static func footer(_ kind: Kind, diskBytes: UInt64, id: [UInt8] = .randomUUID()) -> [UInt8] {
        var bytes = [UInt8].zeros(footerBytes)
        bytes.put(0, cookie)
        bytes.putBig(8, 2)
        bytes.putBig(12, 0x1_0000)
        bytes.putBig(Offset.sparse, kind == .fixed ? .max : UInt64(footerBytes), 8)
        // Seconds since 2000.
        bytes.putBig(24, UInt64(max(0, time(nil) - 946_684_800)))
        // Who reads the size and not the geometry of an image goes by this name.
        bytes.put(28, Array("win ".utf8))
        bytes.putBig(32, 0xA_0000)
        bytes.put(36, Array("Wi2k".utf8))
        bytes.putBig(40, diskBytes, 8)
        bytes.putBig(Offset.size, diskBytes, 8)
        let (cylinders, heads, sectors) = geometry(diskBytes / 512)
        bytes.putBig(56, cylinders, 2)
        bytes.putBig(58, heads, 1)
        bytes.putBig(59, sectors, 1)
        bytes.putBig(Offset.kind, kind.rawValue)
        bytes.put(Offset.id, id)
        bytes.putBig(Offset.checksum, sum(bytes, Offset.checksum))
        return bytes
    }

    /// As the specification's appendix computes it.
    private static func geometry(_ total: UInt64) -> (UInt64, UInt64, UInt64) {
        let total = min(total, 65535 * 16 * 255)
        if total >= 65535 * 16 * 63 { return (total / 255 / 16, 16, 255) }
        var sectors: UInt64 = 17, tracks = total / 17
        var heads = max((tracks + 1023) / 1024, 4)
        if tracks >= heads * 1024 || heads > 16 {
            (sectors, heads) = (31, 16)
            tracks = total / 31
        }
        if tracks >= heads * 1024 {
            (sectors, heads) = (63, 16)
            tracks = total / 63
        }
        return (tracks / heads, heads, sectors)
    }

    static func sparse(tableOffset: UInt64, entries: UInt64, blockBytes: UInt64) -> [UInt8] {
        var bytes = [UInt8].zeros(sparseBytes)
        bytes.put(0, sparseCookie)
        bytes.putBig(8, .max, 8)
        bytes.putBig(Offset.table, tableOffset, 8)
        bytes.putBig(24, 0x1_0000)
        bytes.putBig(Offset.entries, entries)
        bytes.putBig(Offset.block, blockBytes)
        return bytes
    }

    static let locatorRoom = 4096

    /// The parent in a second header.
    /// - Parameter place: `locatorRoom` bytes in the file.
    /// - Returns: the locator's data; nil: the name is too long.
    static func setParent(_ sparse: inout [UInt8], id: [UInt8], path: String, place: UInt64) -> [UInt8]? {
        let windows = (path.hasPrefix("/") || path.hasPrefix("..") ? "" : ".\\") + path.map { $0 == "/" ? "\\" : String($0) }.joined()
        let locator = windows.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
        guard locator.count <= locatorRoom else { return nil }
        sparse.put(Offset.parentID, id)
        sparse.putBig(56, UInt64(max(0, time(nil) - 946_684_800)))
        let name = (path.split(separator: "/").last.map(String.init) ?? path).utf16.prefix(255)
        sparse.put(Offset.parentName, .zeros(512 + 8 * 24))
        sparse.put(Offset.parentName, name.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] })
        sparse.putBig(Offset.locators, relativeName)
        sparse.putBig(Offset.locators + 4, UInt64(locatorRoom))
        sparse.putBig(Offset.locators + 8, UInt64(locator.count))
        sparse.putBig(Offset.locators + 16, place, 8)
        sparse.putBig(Offset.sparseChecksum, sum(sparse, Offset.sparseChecksum))
        return locator + .zeros(locatorRoom - locator.count)
    }

    /// Where the parent's locator is, and how much room it has.
    static func locator(_ sparse: [UInt8]) -> (place: UInt64, room: UInt64)? {
        (0..<8).map { Offset.locators + 24 * $0 }.first { sparse.big($0) == relativeName }.map {
            let room = sparse.big($0 + 4)
            // Some count it in sectors.
            return (sparse.big($0 + 16, 8), room < 512 ? room * 512 : room)
        }
    }
}
