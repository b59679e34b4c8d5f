import Glibc
import Hardware

/// What an image says of the one below it.
struct ParentLink {
    /// As it stands in the image; relative to its folder. nil: it has to be found by its identity.
    var path: String?
    /// What the image says that the other one is; nil: by content.
    var format: ImageFormat?
    var identity: ImageIdentity?
    /// Of the disk, where both have to agree.
    var bytes: UInt64?
}

/// Opens an image and what it stands on, one after the other.
struct DiskChain {
    static let deepest = 64
    var keepsIdentity = false
    /// An interrupted merge into an image is an error, and its path is left here.
    var minds = true
    private(set) var merging: String?
    /// Inside the topmost image; only for reading.
    private var snapshot: String?
    /// Who has the topmost image open stands still.
    private var isHeld = false
    /// The images above the one that is being opened.
    private var above: [[UInt64]] = []

    init(keepsIdentity: Bool = false) { self.keepsIdentity = keepsIdentity }

    /// - Throws: `MediaError`; nothing stays open.
    mutating func open(_ path: String, writable: Bool, as format: ImageFormat? = nil) throws(MediaError) -> any ImageLayer {
        let file = try HostFile(path: path, writable: writable, locks: !isHeld || !above.isEmpty)
        above.append(file.number)
        if minds, access(path + MergeJournal.suffix, F_OK) == 0 {
            merging = path
            throw .brokenChain(path: path, reason: "a merge was interrupted in it and cannot be ended")
        }
        if let format, format == .raw { return try RawImage(file) }
        let found = DiskImage.foreignFormat(file)
        if let snapshot, above.count == 1, found != "qcow2" { throw ImageProblem.noSnapshot(snapshot, []).error(path, .raw) }
        switch found {
        case "VDI": return try openVDI(file)
        case "qcow2": return try openQCOW2(file)
        case "VHD": return try openVHD(file)
        case "VMDK": return try openVMDK(file)
        case let format?: throw .formatNotSupported(path: path, format: format)
        case nil: return try RawImage(file)
        }
    }

    /// An image by itself, with nothing below: only for looking at what it has. It is locked as if it was to be written.
    static func alone(_ path: String, locks: Bool = true) throws(MediaError) -> any ImageLayer {
        let file = try HostFile(path: path, writable: true, locks: locks)
        switch DiskImage.foreignFormat(file) {
        case "VDI": return MappedImage(file, try table(VDITable.init, file), parent: nil)
        case "qcow2": return MappedImage(file, try table(QCOW2Table.init, file), parent: nil)
        case "VHD": return MappedImage(file, try table(VHDTable.init, file), parent: nil)
        case "VMDK": return MappedImage(file, try table(VMDKTable.init, file), parent: nil)
        default: return try RawImage(file)
        }
    }

    /// For looking at an image that a machine has open which stands still, or at any other.
    static func reading(_ path: String, held: Bool) throws(MediaError) -> any ImageLayer {
        guard held else { return try DiskImage.layer(path: path, writable: false) }
        var chain = DiskChain()
        chain.isHeld = true
        return try chain.open(path, writable: false)
    }

    /// For the merge itself: to be written, as it is in the middle of one.
    static func merging(_ path: String, locks: Bool) throws(MediaError) -> any ImageLayer {
        var chain = DiskChain(keepsIdentity: true)
        chain.minds = false
        chain.isHeld = !locks
        return try chain.open(path, writable: true)
    }

    /// As the disk was at a snapshot inside the image.
    static func snapshot(_ name: String, of path: String) throws(MediaError) -> any ImageLayer {
        var chain = DiskChain()
        chain.snapshot = name
        return try chain.open(path, writable: false)
    }

    /// For reading, in the middle of a merge.
    static func quietly(_ path: String) throws(MachineError) -> any ImageLayer {
        var chain = DiskChain()
        chain.minds = false
        do {
            return try chain.open(path, writable: false)
        } catch {
            throw .failed(error.description)
        }
    }

    private static func table<Table: BlockTable>(
        _ make: (HostFile) throws(ImageProblem) -> Table, _ file: HostFile
    ) throws(MediaError) -> Table {
        do {
            return try make(file)
        } catch {
            throw error.error(file.path, Table.format)
        }
    }

    private mutating func openVDI(_ file: HostFile) throws(MediaError) -> any ImageLayer {
        let table = try DiskChain.table(VDITable.init, file)
        let parent = try table.header.parent.map { identity throws(MediaError) in
            try openParent(of: file.path, ParentLink(path: table.header.parentPath, format: .vdi, identity: identity, bytes: table.diskBytes))
        }
        return MappedImage(file, table, parent: parent, keepsIdentity: keepsIdentity)
    }

    private mutating func openVHD(_ file: HostFile) throws(MediaError) -> any ImageLayer {
        let header: VHDHeader
        do {
            header = try VHDHeader(file)
        } catch {
            throw error.error(file.path, .vhd)
        }
        if header.kind == .fixed { return DiskChain.fixedVHD(header, file) }
        let table = try DiskChain.table({ file throws(ImageProblem) in try VHDTable(header, file) }, file)
        var parent: (any ImageLayer)?
        if header.kind == .differencing {
            let identity = ImageIdentity(id: header.parentID, modification: .zeros(16))
            parent = try openParent(of: file.path, ParentLink(path: header.parentPath, format: .vhd, identity: identity, bytes: table.diskBytes))
        }
        return MappedImage(file, table, parent: parent, keepsIdentity: keepsIdentity)
    }

    private static func fixedVHD(_ header: VHDHeader, _ file: HostFile) -> RawImage {
        RawImage(
            file, start: 0, sectors: header.diskBytes / 512, format: .vhd, variant: "fixed",
            identity: ImageIdentity(id: header.id, modification: .zeros(16)))
    }

    private mutating func openVMDK(_ file: HostFile) throws(MediaError) -> any ImageLayer {
        let found: VMDKParts
        do {
            found = try VMDKParts(file)
        } catch {
            throw error.error(file.path, .vmdk)
        }
        if file.writable, found.table?.isCompressed == true {
            throw .onlyReadable(path: file.path, format: "VMDK", reason: "its data is compressed")
        }
        let text = found.text
        var parent: (any ImageLayer)?
        if text.parentID != VMDKDescription.noParent {
            guard text.extents.count == 1 else { throw .formatNotSupported(path: file.path, format: "differencing VMDK in several files") }
            let bytes = text.extents[0].sectors * 512
            parent = try openParent(
                of: file.path,
                ParentLink(path: text.parentPath, format: .vmdk, identity: VMDKImage.identity(text.parentID), bytes: bytes))
        }
        let parts = try found.open(file, parent: parent, keepsIdentity: keepsIdentity)
        return VMDKImage(text, file, place: found.place, parts: parts, parent: parent, keepsIdentity: keepsIdentity)
    }

    private mutating func openQCOW2(_ file: HostFile) throws(MediaError) -> any ImageLayer {
        let inside = above.count == 1 ? snapshot : nil
        var table = try DiskChain.table({ file throws(ImageProblem) in try QCOW2Table(file, snapshot: inside) }, file)
        if file.writable {
            guard table.header.snapshots == 0 else {
                throw .onlyReadable(path: file.path, format: "qcow2", reason: "it has snapshots of its own inside")
            }
            guard !table.header.isCorrupt else {
                throw .onlyReadable(path: file.path, format: "qcow2", reason: "it is marked as corrupt; 'vitrine disk check --repair' may help")
            }
            if table.header.isDirty { try QCOW2Check.recount(&table, file) }
        }
        let parent = try table.header.backingPath.map { path throws(MediaError) in
            try openParent(of: file.path, ParentLink(path: path, format: try DiskChain.format(table.header.backingFormatName, file.path)))
        }
        return MappedImage(file, table, parent: parent, keepsIdentity: keepsIdentity)
    }

    /// The format of an image below by QEMU's word for it; nil: by content.
    private static func format(_ name: String?, _ path: String) throws(MediaError) -> ImageFormat? {
        switch name {
        case nil, "": return nil
        case "raw": return .raw
        case "vdi": return .vdi
        case "qcow2": return .qcow2
        case "vmdk": return .vmdk
        case "vpc": return .vhd
        case let name?:
            throw .brokenChain(path: path, reason: "the image below it is said to be of the format '\(name.prefix(40))', which is not supported")
        }
    }

    // MARK: Below

    private mutating func openParent(of child: String, _ link: ParentLink) throws(MediaError) -> any ImageLayer {
        guard above.count <= DiskChain.deepest else {
            throw .brokenChain(path: child, reason: "it is the \(above.count)th of a chain of images, and more than \(DiskChain.deepest) are too many")
        }
        let path = try find(link, child)
        var facts = stat()
        guard stat(path, &facts) == 0 else {
            throw .brokenChain(path: child, reason: "the image below it, '\(path)', cannot be opened (\(HostFile.reason(errno)))")
        }
        guard !above.contains([UInt64(facts.st_dev), UInt64(facts.st_ino)]) else {
            throw .brokenChain(path: child, reason: "the image below it, '\(path)', stands on this one: the chain is a loop")
        }
        let parent: any ImageLayer
        do {
            parent = try open(path, writable: false, as: link.format)
        } catch {
            switch error {
            // The names would be of no help: what is broken lies deeper and says so.
            case .brokenChain, .locked, .damaged, .formatNotSupported: throw error
            default: throw .brokenChain(path: child, reason: "the image below it, '\(path)', cannot be used")
            }
        }
        if let format = link.format, format != parent.format {
            throw .brokenChain(path: child, reason: "the image below it, '\(path)', should be \(format.name) and is \(parent.format.name)")
        }
        try check(parent, link, child)
        return parent
    }

    private func check(_ parent: any ImageLayer, _ link: ParentLink, _ child: String) throws(MediaError) {
        if let wanted = link.identity {
            guard let found = parent.identity, wanted.id == found.id else {
                throw .brokenChain(path: child, reason: "'\(parent.path)' is not the image that it was made on: it has another identity")
            }
            guard wanted.modification.isZero || wanted.modification == found.modification else {
                throw .brokenChain(
                    path: child, reason: "the image below it, '\(parent.path)', has been changed since this one was made on it")
            }
        }
        if let bytes = link.bytes, bytes != parent.bytes {
            throw .brokenChain(
                path: child, reason: "it is a disk of \(bytes) bytes, and the image below it, '\(parent.path)', one of \(parent.bytes)")
        }
    }

    /// The path of the image below.
    private func find(_ link: ParentLink, _ child: String) throws(MediaError) -> String {
        let folder = WholeFile.directory(of: child)
        if let path = link.path {
            guard !path.isEmpty, !path.hasPrefix("json:"), !path.contains("://"), !path.contains("\0") else {
                throw .brokenChain(path: child, reason: "the image below it is '\(path.prefix(80))', which is no file")
            }
            let whole = path.hasPrefix("/") || folder == "." ? path : (folder == "/" ? "" : folder) + "/" + path
            if access(whole, F_OK) == 0 || link.identity == nil { return whole }
        }
        guard let identity = link.identity else { throw .brokenChain(path: child, reason: "it does not say what it stands on") }
        if let found = DiskChain.search(folder, identity.id) { return found }
        if let path = link.path { throw .brokenChain(path: child, reason: "the image below it, '\(path)', is not there") }
        throw .brokenChain(path: child, reason: "the image below it is neither in its folder nor in the one above")
    }

    /// Names looked at in a folder, at most.
    private static let mostNames = 4096

    /// A VDI of that identity in the folder or the one above: where VirtualBox keeps them.
    private static func search(_ folder: String, _ id: [UInt8]) -> String? {
        for folder in [folder, folder + "/.."] {
            for name in FolderWork.names(folder).sorted().prefix(mostNames) where name.lowercased().hasSuffix(".vdi") {
                let path = folder == "." ? name : folder + "/" + name
                let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
                guard descriptor >= 0 else { continue }
                defer { close(descriptor) }
                var head = [UInt8].zeros(VDIHeader.bytes)
                guard pread(descriptor, &head, head.count, 0) == head.count, head.part(0x40, 4) == VDIHeader.signature else { continue }
                if head.part(VDIHeader.Offset.id, 16) == id { return path }
            }
        }
        return nil
    }

    /// `target` as a path from the folder of `file`, when both are absolute or can be made so.
    static func relative(_ target: String, fromFolderOf file: String) -> String {
        guard let whole = realpath(target, nil), let folder = realpath(WholeFile.directory(of: file), nil) else { return target }
        defer {
            free(whole)
            free(folder)
        }
        let to = String(cString: whole).split(separator: "/"), from = String(cString: folder).split(separator: "/")
        var common = 0
        while common < min(to.count, from.count), to[common] == from[common] { common += 1 }
        return (from[common...].map { _ in ".." } + to[common...].map(String.init)).joined(separator: "/")
    }
}
