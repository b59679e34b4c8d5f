import Hardware

/// The files that a VMDK is made of.
struct VMDKParts {
    var text: VMDKDescription
    /// Where the description stands in the file.
    var place: (offset: UInt64, bytes: UInt64)
    /// Of an image that is one file.
    var table: VMDKTable?

    /// - Throws: what is wrong with it.
    init(_ file: HostFile) throws(ImageProblem) {
        if file.peek(0, count: 4) == VMDKTable.magic {
            let table = try VMDKTable(file)
            guard table.description.bytes > 0 else { throw .notSupported("VMDK that is a part of another one") }
            place = table.description
            text = try VMDKDescription(file.peek(place.offset, count: Int(place.bytes)))
            guard text.extents.count == 1 else { throw .damaged("its description names \(text.extents.count) extents, and it is one") }
            // The name in it may be an older one of the file.
            text.extents[0].sectors = table.capacity
            self.table = table
            return
        }
        guard file.peek(0, count: 21) == Array("# Disk DescriptorFile".utf8) else { throw .notSupported("VMDK of VMware ESX 2") }
        guard file.bytes <= UInt64(VMDKDescription.mostBytes) else { throw .damaged("its description has \(file.bytes) bytes") }
        place = (0, file.bytes)
        text = try VMDKDescription(file.peek(0, count: Int(file.bytes)))
    }

    /// - Throws: `MediaError`; nothing stays open.
    func open(_ file: HostFile, parent: (any ImageLayer)?, keepsIdentity: Bool) throws(MediaError) -> [VMDKImage.Part] {
        if let table {
            let layer = MappedImage(file, table, parent: parent, keepsIdentity: keepsIdentity)
            return [VMDKImage.Part(first: 0, count: table.capacity, layer: layer)]
        }
        var parts: [VMDKImage.Part] = []
        var first: UInt64 = 0
        for extent in text.extents {
            parts.append(VMDKImage.Part(first: first, count: extent.sectors, layer: try layer(extent, file, parent)))
            first += extent.sectors
        }
        return parts
    }

    private func layer(_ extent: VMDKDescription.Extent, _ file: HostFile, _ parent: (any ImageLayer)?) throws(MediaError) -> (any ImageLayer)? {
        guard extent.kind != .zero else { return nil }
        let folder = WholeFile.directory(of: file.path)
        let path = file.path.contains("/") ? (folder == "/" ? "" : folder) + "/" + extent.file : extent.file
        let part: HostFile
        do {
            part = try HostFile(path: path, writable: file.writable && !extent.readOnly)
        } catch {
            if case .cannotOpen(_, let reason) = error {
                throw .brokenChain(path: file.path, reason: "its part '\(path)' cannot be opened (\(reason))")
            }
            throw error
        }
        guard extent.kind == .sparse else {
            guard (extent.offset + extent.sectors) * 512 <= part.bytes else {
                throw .damaged(
                    path: file.path, format: "VMDK",
                    reason: "its part '\(path)' should have \((extent.offset + extent.sectors) * 512) bytes and has \(part.bytes)")
            }
            return RawImage(part, start: extent.offset * 512, sectors: extent.sectors, format: .vmdk, variant: "flat")
        }
        do {
            let table = try VMDKTable(part)
            guard table.capacity >= extent.sectors else { throw ImageProblem.damaged("it is smaller than the image's description says") }
            guard !table.isCompressed || !part.writable else {
                throw MediaError.onlyReadable(path: path, format: "VMDK", reason: "its data is compressed")
            }
            return MappedImage(part, table, parent: parent)
        } catch let error as ImageProblem {
            throw error.error(path, .vmdk)
        } catch let error as MediaError {
            throw error
        } catch {
            throw .cannotOpen(path: path, reason: "\(error)")
        }
    }
}
