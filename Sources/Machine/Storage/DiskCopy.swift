import Glibc
import Hardware

/// Works that read a whole disk: converting, compacting, comparing. Each says how far it is and stops when it is told to; what it was making is
/// gone then.
public enum DiskCopy {
    /// Bytes done and in all; false cancels.
    public typealias Progress = DiskMerge.Progress
    public static let cancelled = MachineError.failed("Cancelled; nothing is left of it.")
    private static let pieceBytes = 1 << 20
    /// Zeros of this size and place are not copied.
    private static let grainBytes = 64 << 10

    static func open(_ path: String, writable: Bool = false, keepsIdentity: Bool = false) throws(MachineError) -> any ImageLayer {
        do {
            return try DiskImage.layer(path: path, writable: writable, keepsIdentity: keepsIdentity)
        } catch {
            throw .badInput(error.description)
        }
    }

    /// Makes an image of another format that shows the same, standing on nothing.
    /// - Parameter snapshot: inside the source, by name or id.
    /// - Throws: `.badInput` for the source, `.failed`; nothing is left then.
    public static func convert(
        _ source: String, to target: String, format: NewImage.Format, snapshot: String? = nil, progress: Progress = { _, _ in true }
    ) throws(MachineError) {
        let from: any ImageLayer
        if let snapshot {
            do {
                from = try DiskChain.snapshot(snapshot, of: source)
            } catch {
                throw .badInput(error.description)
            }
        } else {
            from = try open(source)
        }
        guard access(target, F_OK) != 0 else { throw .failed("The disk '\(target)' cannot be made: \(WholeFile.reason(EEXIST)).") }
        try build(target) { temporary throws(MachineError) in
            try NewImage.make(temporary, bytes: max(from.bytes, NewImage.sizes.lowerBound), format: format, name: target)
            let to = try open(temporary, writable: true)
            try copy(from, to, sectors: from.sectorCount, own: false, progress)
        }
        HostFile.syncFolder(of: target)
    }

    /// - Parameter fill: makes the file under a name that is not seen as an image's.
    private static func build(_ target: String, replaces: Bool = false, _ fill: (String) throws(MachineError) -> Void) throws(MachineError) {
        let temporary = target + ".\(getpid()).new"
        HostFile.unlink(temporary)
        do throws(MachineError) {
            try fill(temporary)
            guard replaces ? HostFile.rename(temporary, target) : HostFile.move(temporary, toFree: target) else {
                throw .failed("The disk '\(target)' cannot be made: \(WholeFile.reason()).")
            }
        } catch {
            // The parts of a flat VMDK go with it.
            if let parts = try? VMDKParts(HostFile(path: temporary, writable: false)), parts.table == nil {
                for extent in parts.text.extents { HostFile.unlink(WholeFile.directory(of: target) + "/" + extent.file) }
            }
            HostFile.unlink(temporary)
            throw error
        }
    }

    /// - Parameter own: only what the image itself has, and its zeros as such: for images that stand on the same.
    static func copy(
        _ from: any ImageLayer, _ to: any ImageLayer, sectors: UInt64, own: Bool, _ progress: Progress
    ) throws(MachineError) {
        let total = try data(from, own: own, sectors)
        var done: UInt64 = 0, sector: UInt64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 4096)
        defer { buffer.deallocate() }
        func failed(_ layer: any ImageLayer) -> MachineError { .failed("'\(layer.path)' cannot be copied: \(WholeFile.reason()).") }
        guard progress(0, total) else { throw cancelled }
        while sector < sectors {
            let limit = min(UInt64(pieceBytes) / 512, sectors - sector)
            guard let extent = own ? from.extent(sector, limit: limit) : from.visibleExtent(sector, limit: limit)?.extent, extent.sectors > 0
            else { throw failed(from) }
            if extent.kind == .data {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(extent.sectors) * 512])
                errno = EIO
                guard from.read(sector: sector, into: piece) else { throw failed(from) }
                guard write(UnsafeRawBufferPointer(piece), to, sector, keepsZeros: own && to.parent != nil) else { throw failed(to) }
                done += extent.sectors * 512
                guard progress(min(done, total), total) else { throw cancelled }
            } else if extent.kind == .zero, own, to.parent != nil {
                guard to.zero(sector: sector, count: extent.sectors, discard: true) else { throw failed(to) }
            }
            sector += extent.sectors
        }
        guard to.flush() else { throw failed(to) }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, _ to: any ImageLayer, _ sector: UInt64, keepsZeros: Bool) -> Bool {
        if keepsZeros { return to.write(sector: sector, from: bytes) }
        var at = 0, start = 0
        // Up to a grain that is zeros, at once.
        func put(_ end: Int) -> Bool {
            start == end || to.write(sector: sector + UInt64(start / 512), from: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        }
        while at < bytes.count {
            let within = (Int(truncatingIfNeeded: sector * 512) + at) & (grainBytes - 1)
            let end = min(bytes.count, at + grainBytes - within)
            if UnsafeRawBufferPointer(rebasing: bytes[at..<end]).isZero {
                guard put(at) else { return false }
                start = end
            }
            at = end
        }
        return put(bytes.count)
    }

    private static func data(_ layer: any ImageLayer, own: Bool, _ sectors: UInt64) throws(MachineError) -> UInt64 {
        var sector: UInt64 = 0, total: UInt64 = 0
        while sector < sectors {
            let limit = sectors - sector
            guard let extent = own ? layer.extent(sector, limit: limit) : layer.visibleExtent(sector, limit: limit)?.extent, extent.sectors > 0
            else { throw .failed("'\(layer.path)' cannot be read; 'vitrine disk check' says what is wrong with it.") }
            if extent.kind == .data { total += extent.sectors * 512 }
            sector += extent.sectors
        }
        return total
    }

    // MARK: The same image, anew

    /// The format that makes such an image.
    static func format(of layer: any ImageLayer) -> NewImage.Format {
        switch layer.format {
        case .raw: .raw
        case .vdi: layer.variant == "fixed" ? .fixed : .dynamic
        case .qcow2: layer.variant == "version 2" ? .qcow2v2 : .qcow2
        case .vhd: layer.variant == "fixed" ? .vhdFixed : .vhd
        case .vmdk:
            switch layer.variant {
            case "monolithicFlat": .vmdkFlat
            case "twoGbMaxExtentFlat": .vmdkSplit
            default: .vmdk
            }
        }
    }

    /// Replaces an image by one that shows the same with fewer bytes, or is of another size. What stands on it stays right.
    static func rebuild(_ path: String, bytes: UInt64?, _ progress: Progress) throws(MachineError) {
        try rebuild(path, from: try open(path, writable: true, keepsIdentity: true), bytes: bytes, progress)
    }

    static func rebuild(_ path: String, from: any ImageLayer, bytes: UInt64?, _ progress: Progress) throws(MachineError) {
        let size = bytes ?? from.bytes
        let identity = from.identity
        try build(path, replaces: true) { temporary throws(MachineError) in
            if let parent = from.parent {
                try NewImage.differencing(path: temporary, parent: parent.path, format: from.format)
            } else {
                try NewImage.make(temporary, bytes: size, format: format(of: from), name: path)
            }
            do {
                let to = try open(temporary, writable: true)
                try copy(from, to, sectors: min(from.sectorCount, size / 512), own: from.parent != nil, progress)
            }
            if let identity { try ImageLink(path: temporary).setIdentity(identity) }
            guard progress(1, 1) else { throw cancelled }
        }
        withExtendedLifetime(from) {}
        HostFile.syncFolder(of: path)
    }

    /// Takes no more room than the data needs.
    /// - Returns: bytes on the host before and after.
    /// - Throws: `.badInput`, `.failed`; the image is as it was then.
    public static func compact(_ path: String, progress: Progress = { _, _ in true }) throws(MachineError) -> (before: UInt64, after: UInt64) {
        let before = try ImageFacts(path: path).hostBytes
        let (format, variant): (ImageFormat, String)
        do {
            let layer = try open(path)
            (format, variant) = (layer.format, layer.variant)
            guard layer.format == .raw || variant != "fixed" else {
                throw MachineError.badInput("'\(path)' is a fixed image: it has all its room on purpose; convert it to another format.")
            }
        } catch let error as MachineError {
            throw error
        } catch {
            throw .failed("\(error)")
        }
        if format == .raw || variant.hasSuffix("Flat") {
            try punch(path, progress)
        } else {
            try rebuild(path, bytes: nil, progress)
        }
        return (before, try ImageFacts(path: path).hostBytes)
    }

    /// Holes where there are zeros.
    private static func punch(_ path: String, _ progress: Progress) throws(MachineError) {
        let layer = try open(path, writable: true, keepsIdentity: true)
        let total = try data(layer, own: true, layer.sectorCount)
        var done: UInt64 = 0, sector: UInt64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 4096)
        defer { buffer.deallocate() }
        while sector < layer.sectorCount {
            guard let extent = layer.extent(sector, limit: min(UInt64(pieceBytes) / 512, layer.sectorCount - sector)) else {
                throw .failed("'\(path)' cannot be read.")
            }
            if extent.kind == .data {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(extent.sectors) * 512])
                guard layer.read(sector: sector, into: piece) else { throw .failed("'\(path)' cannot be read.") }
                var at = 0
                while at < piece.count {
                    let end = min(piece.count, at + 4096)
                    if UnsafeRawBufferPointer(rebasing: piece[at..<end]).isZero {
                        guard layer.zero(sector: sector + UInt64(at / 512), count: UInt64((end - at) / 512), discard: true) else {
                            throw .failed("'\(path)' cannot be written.")
                        }
                    }
                    at = end
                }
                done += extent.sectors * 512
                // What was done so far changes nothing that the guest sees.
                guard progress(min(done, total), total) else { throw .failed("Cancelled; the image is whole, and in parts compacted.") }
            }
            sector += extent.sectors
        }
        guard layer.flush() else { throw .failed("'\(path)' cannot be written.") }
    }

    /// - Returns: the first byte that differs; nil: none. What one has beyond the other's end counts when it is not zeros.
    public static func firstDifference(
        _ first: String, _ second: String, progress: Progress = { _, _ in true }
    ) throws(MachineError) -> (byte: UInt64?, sizes: (UInt64, UInt64)) {
        let images = [try open(first), try open(second)]
        let total = max(images[0].sectorCount, images[1].sectorCount)
        var sector: UInt64 = 0
        var buffers = [[UInt8].zeros(pieceBytes), [UInt8].zeros(pieceBytes)]
        while sector < total {
            var limit = min(UInt64(pieceBytes) / 512, total - sector)
            var isZero = true
            for image in images where sector < image.sectorCount {
                guard let extent = image.visibleExtent(sector, limit: min(limit, image.sectorCount - sector))?.extent, extent.sectors > 0 else {
                    throw .failed("'\(image.path)' cannot be read.")
                }
                limit = min(limit, extent.sectors)
                if extent.kind == .data { isZero = false }
            }
            if !isZero {
                let count = Int(limit) * 512
                for (i, image) in images.enumerated() {
                    let there = image.sectorCount > sector ? Int(min(limit, image.sectorCount - sector)) * 512 : 0
                    let done = buffers[i].withUnsafeMutableBytes { buffer in
                        if there < count { buffer[there..<count].copyBytes(from: [UInt8].zeros(count - there)) }
                        return there == 0 || image.read(sector: sector, into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<there]))
                    }
                    guard done else { throw .failed("'\(image.path)' cannot be read.") }
                }
                let same = buffers[0].withUnsafeBytes { a in
                    buffers[1].withUnsafeBytes { b in
                        guard let a = a.baseAddress, let b = b.baseAddress else { return true }
                        return memcmp(a, b, count) == 0
                    }
                }
                if !same {
                    let at = (0..<count).first { buffers[0][$0] != buffers[1][$0] } ?? 0
                    return (sector * 512 + UInt64(at), (images[0].bytes, images[1].bytes))
                }
            }
            sector += limit
            guard progress(sector * 512, total * 512) else { throw .failed("Cancelled.") }
        }
        return (nil, (images[0].bytes, images[1].bytes))
    }
}
