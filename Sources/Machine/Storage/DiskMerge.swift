import Glibc
import Hardware

/// Makes one image of two: of one and the image below it. What a guest sees stays the same.
///
/// Into the parent: what the parent had is kept in a file beside it before it is written over, and put back when somebody says stop. Into the
/// child: the child takes what it has shown through, and is as good as before at any moment. A journal beside the image that is written says
/// what is going on; `recover` rolls back what was not decided, and finishes what was.
public struct DiskMerge {
    public enum Direction: String, Sendable, Codable {
        /// The child's file goes; the parent shows what the child has shown.
        case intoParent
        /// The child stands on what the parent stands on, and shows the same as before. The parent's file may go.
        case intoChild
    }
    /// Bytes done and in all; false cancels.
    public typealias Progress = (_ done: UInt64, _ total: UInt64) -> Bool

    private let child: String
    private let parent: String
    private var journal: MergeJournal
    private let progress: Progress
    /// Whoever has the images open reads nothing that the merge changes.
    private let locks: Bool

    /// Merges an image with the one it stands on. None of them may be open.
    /// - Parameters:
    ///   - grandchildren: into the parent: all images that stand on the child. Nothing else may stand on the parent.
    ///   - removesParent: into the child: the parent's file goes; nothing else may stand on it.
    /// - Throws: `.badInput` for images that cannot be used, `.failed` on the host's refusal or when it was cancelled: all is as before then.
    public static func run(
        _ child: String, _ direction: Direction, grandchildren: [String] = [], removesParent: Bool = false,
        progress: @escaping Progress = { _, _ in true }
    ) throws(MachineError) {
        var merge = try prepare(child, direction, grandchildren: grandchildren, removesParent: removesParent, progress: progress)
        try merge.conclude()
    }

    /// Copies what has to be copied. Until `conclude`, the images that are open show the same as before, and after a crash all is rolled back.
    /// - Parameter locks: false: others have the images open for reading; into the parent only, as what is written there is hidden by the child.
    /// - Throws: as `run`.
    static func prepare(
        _ child: String, _ direction: Direction, grandchildren: [String] = [], removesParent: Bool = false, locks: Bool = true,
        progress: @escaping Progress
    ) throws(MachineError) -> DiskMerge {
        let (parent, below): (String, String?)
        do {
            let top = try DiskImage.layer(path: child, writable: false)
            guard let next = top.parent else { throw MachineError.badInput("'\(child)' stands on no other image: there is nothing to merge.") }
            guard direction == .intoChild || top.bytes == next.bytes else {
                throw MachineError.badInput(
                    "'\(child)' is a disk of \(ByteSize.text(top.bytes)) and '\(next.path)' one of \(ByteSize.text(next.bytes)): merge into the "
                        + "child.")
            }
            (parent, below) = (next.path, next.parent?.path)
        } catch let error as MediaError {
            throw .badInput(error.description)
        } catch let error as MachineError {
            throw error
        } catch {
            throw .failed("\(error)")
        }
        for path in grandchildren {
            guard access(path, W_OK) == 0 else { throw .badInput("'\(path)' cannot be written: \(WholeFile.reason()).") }
        }
        let target = direction == .intoParent ? parent : child
        var journal = MergeJournal(target: target, direction: direction, modification: .randomUUID())
        journal.child = journal.relative(child)
        journal.parent = journal.relative(parent)
        journal.grandchildren = grandchildren.map(journal.relative)
        journal.below = below.map(journal.relative)
        journal.removesParent = removesParent
        let merge = DiskMerge(child: child, parent: parent, journal: journal, progress: progress, locks: locks)
        switch direction {
        case .intoParent: try merge.copyDown()
        case .intoChild: try merge.copyUp()
        }
        return merge
    }

    /// Nobody has the images open any more.
    mutating func conclude() throws(MachineError) {
        journal.isDecided = true
        try journal.save()
        try journal.finish()
    }

    static let cancelled = MachineError.failed("Cancelled; the images are as they were.")
    private static let pieceBytes: UInt64 = 1 << 20
    /// The undo file is waited for after so many bytes.
    private static let batchBytes: UInt64 = 32 << 20

    private func failed(_ path: String) -> MachineError { .failed("'\(path)' cannot be merged: \(WholeFile.reason()).") }

    // MARK: Into the parent

    private func copyDown() throws(MachineError) {
        // The child by itself: what it has, and nothing of what shows through. It is locked meanwhile.
        let top = try MergeJournal.layer(child, alone: true, locks: locks)
        let bottom = try MergeJournal.layer(parent, alone: false, locks: locks)
        // Of a merge that was over: with the new journal it would be taken for this one's.
        if HostFile.unlink(journal.undoPath) { HostFile.syncFolder(of: journal.undoPath) }
        try journal.save()
        let undo = try MergeUndo(creating: journal.undoPath)
        do throws(MachineError) {
            try copy(from: top, to: bottom, undo)
            guard bottom.flush() else { throw failed(parent) }
            withExtendedLifetime(top) {}
        } catch {
            // Back, as a restart would do it; the layers hold no locks on the files that `MergeUndo` needs.
            guard undo.roll(back: bottom), bottom.flush() else { throw error }
            journal.remove()
            throw error
        }
    }

    private func copy(from top: any ImageLayer, to bottom: any ImageLayer, _ undo: MergeUndo) throws(MachineError) {
        let total = try DiskMerge.cost(top, failed(child))
        var done: UInt64 = 0, sector: UInt64 = 0
        var batch: [(sector: UInt64, count: UInt64, isData: Bool)] = []
        var batched: UInt64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(DiskMerge.pieceBytes), alignment: 4096)
        defer { buffer.deallocate() }
        func write() throws(MachineError) {
            guard undo.flush() else { throw failed(parent) }
            for part in batch {
                if part.isData {
                    let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(part.count) * 512])
                    guard top.read(sector: part.sector, into: piece), bottom.write(sector: part.sector, from: UnsafeRawBufferPointer(piece))
                    else { throw failed(parent) }
                    done += part.count * 512
                } else {
                    guard bottom.zero(sector: part.sector, count: part.count, discard: true) else { throw failed(parent) }
                }
                guard progress(min(done, total), total) else { throw DiskMerge.cancelled }
            }
            (batch, batched) = ([], 0)
        }
        guard progress(0, total) else { throw DiskMerge.cancelled }
        while sector < top.sectorCount {
            guard let extent = top.extent(sector, limit: min(DiskMerge.pieceBytes / 512, top.sectorCount - sector)) else { throw failed(child) }
            if extent.kind != .absent {
                guard let kept = undo.keep(sector, extent.sectors, of: bottom, buffer) else { throw failed(parent) }
                batch.append((sector, extent.sectors, extent.kind == .data))
                batched += kept + 512
                if batched >= DiskMerge.batchBytes || batch.count >= 4096 { try write() }
            }
            sector += extent.sectors
        }
        try write()
    }

    /// Bytes of data that a layer has itself.
    static func cost(_ layer: any ImageLayer, _ error: @autoclosure () -> MachineError) throws(MachineError) -> UInt64 {
        var sector: UInt64 = 0, total: UInt64 = 0
        while sector < layer.sectorCount {
            guard let extent = layer.extent(sector, limit: layer.sectorCount - sector), extent.sectors > 0 else { throw error() }
            if extent.kind == .data { total += extent.sectors * 512 }
            sector += extent.sectors
        }
        return total
    }

    // MARK: Into the child

    private func copyUp() throws(MachineError) {
        let top = try MergeJournal.layer(child, alone: false)
        guard let middle = top.parent else { throw failed(child) }
        try journal.save()
        do throws(MachineError) {
            try copyThrough(top, middle)
            guard top.flush() else { throw failed(child) }
        } catch {
            journal.remove()
            throw error
        }
    }

    /// Where the child has nothing and its parent has something.
    private func copyThrough(_ top: any ImageLayer, _ middle: any ImageLayer) throws(MachineError) {
        let total = try DiskMerge.cost(middle, failed(parent))
        var done: UInt64 = 0, sector: UInt64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(DiskMerge.pieceBytes), alignment: 4096)
        defer { buffer.deallocate() }
        while sector < top.sectorCount {
            guard progress(min(done, total), total) else { throw DiskMerge.cancelled }
            let limit = min(DiskMerge.pieceBytes / 512, top.sectorCount - sector)
            guard var extent = top.extent(sector, limit: limit) else { throw failed(child) }
            if extent.kind == .absent {
                let inner =
                    sector < middle.sectorCount
                    ? middle.extent(sector, limit: min(extent.sectors, middle.sectorCount - sector))
                    : ImageExtent(kind: .zero, sectors: extent.sectors)
                guard let inner else { throw failed(parent) }
                extent.sectors = inner.sectors
                if inner.kind == .data {
                    let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(inner.sectors) * 512])
                    guard top.read(sector: sector, into: piece), top.write(sector: sector, from: UnsafeRawBufferPointer(piece)) else {
                        throw failed(child)
                    }
                    done += inner.sectors * 512
                } else if inner.kind == .zero, middle.parent != nil {
                    guard top.zero(sector: sector, count: inner.sectors, discard: true) else { throw failed(child) }
                }
            }
            sector += extent.sectors
        }
    }

    // MARK: Afterwards

    /// Ends the merges that were interrupted in a folder.
    /// - Returns: what was done, a sentence each.
    public static func recover(in folder: String) -> [String] {
        FolderWork.names(folder).sorted().filter { $0.hasSuffix(MergeJournal.suffix) }.compactMap { name in
            recover(target: folder + "/" + name.dropLast(MergeJournal.suffix.count))
        }
    }

    /// Ends the merge into this image, when one was interrupted.
    /// - Returns: what was done; nil: there was none, or it is still going on.
    static func recover(target: String) -> String? {
        guard access(target + MergeJournal.suffix, F_OK) == 0 else { return nil }
        do throws(MachineError) {
            guard let journal = try MergeJournal(reading: target) else { return nil }
            let images = "'\(journal.absolute(journal.child))' and '\(journal.absolute(journal.parent))'"
            if journal.isDecided {
                try journal.finish()
                return "The interrupted merge of \(images) has been finished."
            }
            try journal.rollBack()
            return "The interrupted merge of \(images) has been rolled back."
        } catch {
            return "An interrupted merge could not be ended: \(error.description)"
        }
    }
}
