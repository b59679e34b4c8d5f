/// The head of a VDI image, checked.
///
/// Source: the layout that VirtualBox documents for its "Virtual Disk Image" format, version 1.1: 64 bytes of text, signature, version, header
/// size, type, flags, 256 bytes of comment, offsets of map and data, an old geometry, disk size, block size, counts, four UUIDs (image,
/// modification, parent, parent's modification), a geometry.
///
/// The format has no place for the parent's name. Ours is in the comment, after `parent: `; without one a VDI with the right UUID is looked for
/// in the image's folder and the one above.
struct VDIHeader: Equatable {
    static let signature: [UInt8] = [0x7F, 0x10, 0xDA, 0xBE]
    static let signatureOffset = 0x40
    static let allocatedOffset: UInt64 = 0x184
    /// Head with the second geometry.
    static let bytes = 0x1D8
    /// 16 TiB in blocks of 1 MiB; keeps the map in bounds, and sums far from overflow.
    static let maximumBlocks: UInt64 = 1 << 24

    /// A block of the map that is nowhere in the file: nobody has written it (the parent shows), or it was given back (zeros).
    static let unallocated: UInt32 = 0xFFFF_FFFF
    static let zero: UInt32 = 0xFFFF_FFFE

    enum Offset {
        static let type = 0x4C, comment = 0x54, id = 0x188, modification = 0x198, parentID = 0x1A8, parentModification = 0x1B8
    }
    static let commentBytes = 256
    private static let commentMark = "parent: "

    enum Kind: UInt64 { case dynamic = 1, fixed, undo, differencing }

    var kind: Kind
    var mapOffset: UInt64
    var dataOffset: UInt64
    var diskBytes: UInt64
    var blockBytes: UInt64
    /// Before the data of every block.
    var extraBytes: UInt64
    var blocks: UInt64
    var allocated: UInt64
    var identity: ImageIdentity
    var parent: ImageIdentity?
    /// Relative to the image's folder.
    var parentPath: String?

    var isFixed: Bool { kind == .fixed }
    var stride: UInt64 { blockBytes + extraBytes }

    /// - Parameter head: the first `bytes` of the file, or all of a shorter one.
    /// - Throws: a clause: what is wrong with it.
    init(_ head: [UInt8], fileBytes: UInt64) throws(ImageProblem) {
        guard head.count >= 0x1C8 else { throw .damaged("the file ends in its header") }
        let version = head.little(0x44)
        guard version >> 16 == 1 else { throw .notSupported("VDI \(version >> 16).\(version & 0xFFFF)") }
        let headerBytes = head.little(0x48)
        guard (0x180...0x10000).contains(headerBytes) else { throw .damaged("its header says that it has \(headerBytes) bytes") }
        guard let kind = Kind(rawValue: head.little(Offset.type)) else { throw .damaged("there is no image type \(head.little(Offset.type))") }
        self.kind = kind
        identity = ImageIdentity(id: head.part(Offset.id, 16), modification: head.part(Offset.modification, 16))
        let link = head.part(Offset.parentID, 16)
        if !link.isZero { parent = ImageIdentity(id: link, modification: head.part(Offset.parentModification, 16)) }
        guard (kind == .differencing || kind == .undo) == (parent != nil) else {
            throw .damaged(parent == nil ? "it stands on another image and does not say on which" : "it names an image below and has none")
        }
        parentPath = VDIHeader.path(inComment: head.part(Offset.comment, VDIHeader.commentBytes))
        mapOffset = head.little(0x154)
        dataOffset = head.little(0x158)
        guard head.little(0x168) == 512 else { throw .notSupported("VDI with sectors of \(head.little(0x168)) bytes") }
        diskBytes = head.little(0x170, 8)
        blockBytes = head.little(0x178)
        extraBytes = head.little(0x17C)
        blocks = head.little(0x180)
        allocated = head.little(0x184)
        guard blockBytes.nonzeroBitCount == 1, (4096...(1 << 26)).contains(blockBytes) else {
            throw .damaged("its blocks have \(blockBytes) bytes, which is no power of two from 4096 to 64 MiB")
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
    /// - Parameter room: for so many bytes of disk the map has room, when that is more.
    init(diskBytes: UInt64, kind: Kind, parent: ImageIdentity? = nil, parentPath: String? = nil) {
        self.kind = kind
        self.diskBytes = diskBytes
        self.parent = parent
        self.parentPath = parentPath
        blockBytes = 1 << 20
        extraBytes = 0
        blocks = (diskBytes + blockBytes - 1) / blockBytes
        allocated = kind == .fixed ? blocks : 0
        mapOffset = 4096
        dataOffset = (mapOffset + 4 * blocks + blockBytes - 1) / blockBytes * blockBytes
        identity = ImageIdentity(id: .randomUUID(), modification: .randomUUID())
    }

    /// As it stands in the file.
    func encoded() -> [UInt8] {
        var head = [UInt8].zeros(VDIHeader.bytes)
        head.put(0, Array("<<< VDI disk image, made by Vitrine >>>\n".utf8))
        head.put(0x40, VDIHeader.signature)
        head.putLittle(0x44, 0x1_0001)
        head.putLittle(0x48, UInt64(VDIHeader.bytes - 0x48))
        head.putLittle(Offset.type, kind.rawValue)
        head.put(Offset.comment, VDIHeader.comment(parentPath))
        head.putLittle(0x154, mapOffset)
        head.putLittle(0x158, dataOffset)
        head.putLittle(0x168, 512)
        head.putLittle(0x170, diskBytes, 8)
        head.putLittle(0x178, blockBytes)
        head.putLittle(0x17C, extraBytes)
        head.putLittle(0x180, blocks)
        head.putLittle(0x184, allocated)
        head.put(Offset.id, identity.id)
        head.put(Offset.modification, identity.modification)
        if let parent {
            head.put(Offset.parentID, parent.id)
            head.put(Offset.parentModification, parent.modification)
        }
        head.putLittle(0x1D4, 512)
        return head
    }

    /// The comment that names the parent; zeros where there is no room for it: then it is found by its UUID.
    static func comment(_ parentPath: String?) -> [UInt8] {
        let text = Array((commentMark + (parentPath ?? "")).utf8)
        guard parentPath != nil, text.count < commentBytes else { return .zeros(commentBytes) }
        return text + .zeros(commentBytes - text.count)
    }

    private static func path(inComment bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        return text.hasPrefix(commentMark) ? String(text.dropFirst(commentMark.count)) : nil
    }
}

/// Why an image is not used.
enum ImageProblem: Error, Equatable {
    /// A format, or a kind of it.
    case notSupported(String)
    /// A clause.
    case damaged(String)
    /// There is no such snapshot inside, only these.
    case noSnapshot(String, [String])

    func error(_ path: String, _ format: ImageFormat) -> MediaError {
        switch self {
        case .notSupported(let what): .formatNotSupported(path: path, format: what)
        case .damaged(let reason): .damaged(path: path, format: format.name, reason: reason)
        case .noSnapshot(let name, let all):
            .brokenChain(
                path: path,
                reason: "it has no snapshot '\(name)' inside" + (all.isEmpty ? "" : ", only " + all.map { "'\($0)'" }.joined(separator: ", ")))
        }
    }
}
