/// Changes in an image's head what it stands on; its data stays.
///
/// What is written depends on nothing but the arguments, so that it can be done again after it was torn.
struct ImageLink {
    var path: String

    /// - Parameter parent: an image that shows the same where this one has nothing; nil: zeros.
    /// - Throws: `.failed`.
    func set(_ parent: (any ImageLayer)?) throws(MachineError) {
        let link = parent.map { (path: DiskChain.relative($0.path, fromFolderOf: path), layer: $0) }
        let file = try open()
        let done: Bool
        switch DiskImage.foreignFormat(file) {
        case "VDI": done = setVDI(file, link)
        case "qcow2": done = setQCOW2(file, link)
        case "VHD": done = setVHD(file, link)
        case "VMDK": done = setVMDK(file, link)
        default: throw .failed("'\(path)' is an image that cannot stand on another one.")
        }
        guard done, file.flush() else { throw .failed("'\(path)' cannot be written.") }
    }

    /// The image counts as another one for what stands on it.
    /// - Throws: `.failed`.
    func setModification(_ id: [UInt8]) throws(MachineError) {
        let file = try open()
        var done = true
        switch DiskImage.foreignFormat(file) {
        case "VDI": done = file.write(UInt64(VDIHeader.Offset.modification), id)
        case "VMDK":
            done = edit(file) { VMDKDescription.text($0, id: UInt32(truncatingIfNeeded: id.little(0) | 1)) }
        default: break
        }
        guard done, file.flush() else { throw .failed("'\(path)' cannot be written.") }
    }

    /// The image is taken for the one that it replaces.
    /// - Throws: `.failed`.
    func setIdentity(_ identity: ImageIdentity) throws(MachineError) {
        let file = try open()
        var done = true
        switch DiskImage.foreignFormat(file) {
        case "VDI":
            done =
                file.write(UInt64(VDIHeader.Offset.id), identity.id) && file.write(UInt64(VDIHeader.Offset.modification), identity.modification)
        case "VMDK": done = edit(file) { VMDKDescription.text($0, id: UInt32(truncatingIfNeeded: identity.modification.little(0))) }
        case "VHD":
            guard let header = try? VHDHeader(file) else { break }
            var footer = header.footer
            footer.put(VHDHeader.Offset.id, identity.id)
            footer.putBig(VHDHeader.Offset.checksum, VHDHeader.sum(footer, VHDHeader.Offset.checksum))
            done = (header.kind == .fixed || file.write(0, footer)) && file.write(file.bytes - 512, footer)
        default: break
        }
        guard done, file.flush() else { throw .failed("'\(path)' cannot be written.") }
    }

    private func open() throws(MachineError) -> HostFile {
        do {
            return try HostFile(path: path, writable: true)
        } catch {
            throw .failed(error.description)
        }
    }

    private func setVDI(_ file: HostFile, _ link: (path: String, layer: any ImageLayer)?) -> Bool {
        var head = file.peek(0, count: 512)
        guard head.count == 512 else { return false }
        let kind: VDIHeader.Kind = link == nil ? .dynamic : .differencing
        head.putLittle(VDIHeader.Offset.type, kind.rawValue)
        head.put(VDIHeader.Offset.comment, VDIHeader.comment(link?.path))
        head.put(VDIHeader.Offset.parentID, link?.layer.identity?.id ?? .zeros(16))
        head.put(VDIHeader.Offset.parentModification, link?.layer.identity?.modification ?? .zeros(16))
        // One sector: it is there or it is not.
        return file.write(0, head)
    }

    /// The extensions go with it, but that which names the format.
    private func setQCOW2(_ file: HostFile, _ link: (path: String, layer: any ImageLayer)?) -> Bool {
        let fixed = file.peek(0, count: 112)
        guard fixed.count >= 104 else { return false }
        let headerBytes = fixed.big(4) == 3 ? Int(fixed.big(100)) : 72
        guard headerBytes >= 72, headerBytes <= 400, fixed.big(20) <= 21 else { return false }
        let room = 1 << Int(min(max(fixed.big(20), 9), 16))
        var head = file.peek(0, count: headerBytes)
        head.putBig(QCOW2Header.Offset.backing, 0, 8)
        head.putBig(16, 0)
        if let link {
            head += QCOW2Header.extensions(QCOW2Creation.name(link.layer.format))
            head.putBig(QCOW2Header.Offset.backing, UInt64(head.count), 8)
            head.putBig(16, UInt64(link.path.utf8.count))
            head += Array(link.path.utf8)
            guard link.path.utf8.count <= 1023, head.count <= room else { return false }
        } else {
            head += .zeros(8)
        }
        return file.write(0, head)
    }

    private func setVMDK(_ file: HostFile, _ link: (path: String, layer: any ImageLayer)?) -> Bool {
        edit(file) { text in
            VMDKDescription.text(
                text, parent: link.map { (UInt32(truncatingIfNeeded: $0.layer.identity?.modification.little(0) ?? 0), $0.path) })
        }
    }

    private func edit(_ file: HostFile, _ change: ([UInt8]) -> String) -> Bool {
        guard let place = (try? VMDKParts(file))?.place else { return false }
        return VMDKImage.put(change(file.peek(place.offset, count: Int(place.bytes))), file, place)
    }

    /// Second header, locator and both footers.
    private func setVHD(_ file: HostFile, _ link: (path: String, layer: any ImageLayer)?) -> Bool {
        // The second header may be torn from the last time.
        guard var footer = VHDHeader.footer(of: file), footer.big(VHDHeader.Offset.kind) != VHDHeader.Kind.fixed.rawValue else { return false }
        let place = footer.big(VHDHeader.Offset.sparse, 8)
        guard place < file.bytes else { return false }
        var sparse = file.peek(place, count: VHDHeader.sparseBytes)
        guard sparse.starts(with: VHDHeader.sparseCookie) else { return false }
        let kind: VHDHeader.Kind = link == nil ? .dynamic : .differencing
        footer.putBig(VHDHeader.Offset.kind, kind.rawValue)
        footer.putBig(VHDHeader.Offset.checksum, VHDHeader.sum(footer, VHDHeader.Offset.checksum))
        if let link {
            guard let locator = VHDHeader.locator(sparse), locator.room >= UInt64(VHDHeader.locatorRoom), locator.place < file.bytes,
                let data = VHDHeader.setParent(
                    &sparse, id: link.layer.identity?.id ?? .zeros(16), path: link.path, place: locator.place),
                file.write(locator.place, data)
            else { return false }
        } else {
            sparse.put(VHDHeader.Offset.parentID, .zeros(16))
            sparse.put(VHDHeader.Offset.parentName, .zeros(512 + 8 * 24))
            sparse.putBig(VHDHeader.Offset.sparseChecksum, VHDHeader.sum(sparse, VHDHeader.Offset.sparseChecksum))
        }
        return file.write(place, sparse) && file.write(0, footer) && file.write(file.bytes - 512, footer)
    }
}
