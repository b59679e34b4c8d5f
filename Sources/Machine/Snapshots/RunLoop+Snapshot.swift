import DataFiles
import Foundation
import Hardware
import Primitives
import Synchronization

// Snapshots of the machine while it runs.
extension RunLoop {
    /// Pages that are taken between two slices, beside those that the guest writes to.
    private static let pagesInTurn = 1024
    /// Of disposable disks, in bytes: the guest waits for the copy.
    private static let mostThrownAway = 64 << 20

    func begin(_ job: SnapshotJob) {
        do throws(MachineError) {
            guard outcome == nil else { throw MachineError(.wrongPlace, "The machine is just ending.") }
            guard capture == nil, deletion == nil else { throw MachineError(.wrongPlace, "Another snapshot is just being worked on; try again.") }
            if case .hold(let path) = job.work { return try hold(job, path) }
            guard let folder = parts.savedState?.folder else { throw MachineError(.wrongPlace, "Only stored machines have snapshots.") }
            let lock = try MachineLock.take(.settings, of: folder, name: parts.name)
            switch job.work {
            case .take(let name, let description): try take(job, name, description, folder, lock)
            case .delete(let name): try delete(job, name, folder, lock)
            case .commit: try delete(job, nil, folder, lock)
            case .hold: break
            }
        } catch {
            job.end(.failure(error))
        }
        // The drives may have other images now, with the same contents.
        travel?.history.watchMedia()
    }

    /// Somebody looks at disks and state as they are now.
    private func hold(_ job: SnapshotJob, _ path: String) throws(MachineError) {
        guard holder == nil else { throw MachineError(.wrongPlace, "The machine is just being looked at; try again.") }
        let began = parts.hostTime()
        wasPaused = paused
        setPaused(true)
        holder = job
        do throws(MachineError) {
            try save(to: path)
        } catch {
            release(job)
            throw error
        }
        let pause = Double(parts.hostTime() &- began) / 1e6
        job.end(.success(.init(pauseMilliseconds: pause, seconds: pause / 1e3)))
    }

    /// It goes on, unless the user had paused it.
    func release(_ job: SnapshotJob) {
        guard holder === job else { return }
        holder = nil
        if !wasPaused, outcome == nil { setPaused(false) }
    }

    /// Freezes the disks and what is in the chips, and begins with memory.
    private func take(_ job: SnapshotJob, _ name: String, _ description: String, _ folder: String, _ lock: MachineLock) throws(MachineError) {
        let paused = parts.hostTime()
        let sectors = try thrownAway()
        var tree = try SnapshotTree.read(folder)
        try tree.checkName(name)
        let text = try MachineFileText.read(folder)
        var file = try MachineFileText.parse(text, folder)
        var settings = file.settings
        let disks = settings.run.disks, id = SnapshotTree.freshID()
        let floppy = settings.run.floppy == nil || settings.run.disposable ? nil : pc.media[.floppyA].flatMap { SnapshotFloppy.contents($0) }
        let ledger = pageLedger(folder, kept: tree.files), shares = ledger?.known.files.map(\.path) ?? []
        try switchDisks(&settings, id: id, folder: folder)
        var saved: SavedMachine
        do throws(MachineError) {
            try MachineFileText.change(&file, settings)
            saved = try savedMachine()
            saved.info.mark = .random(in: 1...(.max))
            if !shares.isEmpty { saved.info.shared = shares.map { String($0.dropFirst(SnapshotTree.folderName.count + 1)) } }
            tree.nodes.append(
                .init(
                    id: id, name: name, description: description, taken: Date().timeIntervalSince1970, parent: tree.current,
                    state: self.paused ? "paused" : "running", hasMemory: true, isComplete: false, disks: disks, bytes: 0,
                    shares: shares.isEmpty ? nil : shares, floppy: floppy == nil ? nil : SnapshotFloppy.path(id)))
            tree.current = id
            tree.pending = .init(work: "take", settings: file.text)
            try tree.write(folder)
        } catch {
            try reopen(disks, settings, folder)
            for (new, old) in zip(settings.run.disks, disks) where new != old { unlink(folder + "/" + new) }
            throw error
        }
        parts.savedState?.spend()
        parts.savedState?.disks = SavedState.watched(settings.run)
        machine.diskPaths = settings.run.disks.map { $0.hasPrefix("/") ? $0 : folder + "/" + $0 }
        let capture = LiveCapture(ledger)
        self.capture = capture
        pc.memory.beginCapture { page, bytes in capture.take(page, bytes) }
        let pause = Double(parts.hostTime() &- paused) / 1e6
        log(.info, "Snapshots", "The snapshot '\(name)' is being taken; the guest stood still for \(Int(pause)) ms.")
        let total = UInt64(pc.memory.captureLeft)
        let writing = SnapshotWriting(
            job: job, folder: folder, id: id, tree: tree, saved: saved, sectors: sectors, floppy: floppy, settings: text, pause: pause, pages: total,
            queue: capture.queue, ledger: ledger, memory: pageMemory, ended: capture.ended, lock: lock, log: parts.log)
        FileRecorder.thread("snapshot") { writing.run() }
    }

    /// What the last snapshot had in common with now is not written again. nil: there is too much memory to remember it.
    private func pageLedger(_ folder: String, kept: Set<String>) -> PageLedger? {
        let pages = pc.memory.arenaPages
        guard pages <= KnownPages.mostPages else { return nil }
        var known = pageMemory.take() ?? KnownPages(pages: pages)
        known.check(folder, kept: kept)
        known.makeRoom()
        return PageLedger(known)
    }

    /// What was written to disposable disks belongs to memory: nothing else has it. It is copied while the guest stands.
    private func thrownAway() throws(MachineError) -> [WrittenSectors] {
        var pieces: [WrittenSectors] = [], bytes = 0
        for bay in Bay.allCases {
            guard let layer = DisposableLayer.of(pc.media[bay]) else { continue }
            let isWhole = try layer.eachPiece { (sectors, data) throws(MachineError) in
                bytes += data.count
                guard bytes <= RunLoop.mostThrownAway else {
                    throw MachineError(
                        .wrongPlace,
                        "The guest has written more than \(ByteSize.text(UInt64(RunLoop.mostThrownAway))) to \(bay.label), which is disposable: that is "
                            + "too much for a snapshot of a running machine; 'save-state' keeps it.")
                }
                pieces.append(WrittenSectors(bay: bay, numbers: sectors, data: data))
            }
            guard isWhole else { throw .failed("What was written to \(bay.label) cannot be read.") }
        }
        return pieces
    }

    /// Puts new images over the disks that the guest writes.
    /// - Throws: the old ones are in the drives then, or the run is over.
    func switchDisks(_ settings: inout MachineSettings, id: String, folder: String) throws(MachineError) {
        let old = settings.run.disks
        for (index, bay) in parts.diskBays.enumerated() where index < old.count && settings.run.access(ofDisk: index) == .writable {
            guard let medium = pc.media[bay] else { continue }
            guard medium.flush() else { throw .failed("The medium in \(bay.label) could not be written; nothing has been taken.") }
        }
        for (index, bay) in parts.diskBays.enumerated() where index < old.count && settings.run.access(ofDisk: index) == .writable {
            pc.replace(bay, with: nil)
        }
        do throws(MachineError) {
            settings.run.disks = try SnapshotWork.overlays(settings, over: old, folder: folder, id: id)
            try reopen(settings.run.disks, settings, folder)
        } catch {
            for (new, before) in zip(settings.run.disks, old) where new != before { unlink(folder + "/" + new) }
            settings.run.disks = old
            try reopen(old, settings, folder)
            throw error
        }
    }

    /// Opens the disks that the guest writes.
    /// - Throws: the run is over then: a guest without its disk would only break more.
    func reopen(_ disks: [String], _ settings: MachineSettings, _ folder: String) throws(MachineError) {
        for (index, bay) in parts.diskBays.enumerated() where index < disks.count && settings.run.access(ofDisk: index) == .writable {
            let path = disks[index].hasPrefix("/") ? disks[index] : folder + "/" + disks[index]
            pc.replace(bay, with: nil)
            do throws(MediaError) {
                pc.replace(bay, with: try DiskImage.open(path: path, access: .readWrite))
            } catch {
                outcome = .failed("The disk '\(path)' cannot be opened again: \(error.description)")
                throw .failed(error.description)
            }
        }
    }

    /// Takes some more of memory.
    func pumpCapture() {
        guard let capture else { return }
        if !pc.memory.continueCapture(pages: RunLoop.pagesInTurn) { close(capture) }
    }

    /// Before the end of the run: what was begun is brought to its end.
    func finishCapture() {
        guard let capture else { return }
        while pc.memory.continueCapture(pages: 1 << 16) {}
        close(capture)
        capture.ended.wait()
    }

    private func close(_ capture: LiveCapture) {
        pc.memory.endCapture()
        capture.finish()
        self.capture = nil
    }
}

/// A piece of what was written to a disposable disk.
private struct WrittenSectors: Sendable {
    var bay: Bay
    var numbers: [UInt64]
    var data: [UInt8]
}

/// The rest of a snapshot, on a thread of its own.
private struct SnapshotWriting: Sendable {
    let job: SnapshotJob
    let folder: String
    let id: String
    var tree: SnapshotTree
    let saved: SavedMachine
    let sectors: [WrittenSectors]
    let floppy: [UInt8]?
    let settings: String
    let pause: Double
    /// That may come at most.
    let pages: UInt64
    let queue: PageQueue
    let ledger: PageLedger?
    let memory: PageMemory
    let ended: DispatchSemaphore
    let lock: MachineLock
    let log: MachineLog?

    func run() {
        defer { ended.signal() }
        do throws(MachineError) {
            // While memory is packed: the machine's file names the new images, as the tree has decided.
            let early = EarlyFiles(self)
            let bytes: UInt64
            do throws(MachineError) {
                defer { early.wait() }
                bytes = try write()
                if let failure = early.wait() { throw failure }
            } catch {
                try settle(nil)
                throw error
            }
            try settle(bytes)
            remember()
            let seconds = Double(HostClock.monotonic() &- job.begun) / 1e9
            log?.write(
                .info, "Snapshots",
                "The snapshot is taken: \(bytes) bytes in \(Int(seconds * 1e3)) ms; \(ledger?.sharedCount ?? 0) pages are in older files.")
            withExtendedLifetime(lock) {}
            job.end(.success(.init(id: id, pauseMilliseconds: pause, seconds: seconds, bytes: bytes)))
        } catch {
            log?.write(.warn, "Snapshots", "The snapshot was not taken: \(error.description)")
            job.end(.failure(error))
        }
    }

    private func write() throws(MachineError) -> UInt64 {
        var failure: MachineError?
        var writer: StateWriter?
        do throws(MachineError) {
            let new = try StateWriter(
                folder + "/" + SnapshotTree.memoryPath(id), oldest: saved.info.shared == nil ? 1 : StateFormat.sharingVersion)
            writer = new
            try new.begin(saved)
            for piece in sectors { try new.sectors(piece.bay, piece.numbers, piece.data) }
        } catch {
            failure = error
        }
        let packer = PagePacker(queue) { [job, pages] done throws(MachineError) in
            if job.isCalledOff { throw .failed("Cancelled; the disks of the machine have one more image until it is off.") }
            job.update(done, max(done, pages))
        }
        do throws(MachineError) {
            try packer.run(writer.map(SharedWriter.init), failure: failure)
        } catch {
            writer?.cancel()
            throw error
        }
        guard let writer else { return 0 }
        do throws(MachineError) {
            for shared in ledger?.shared ?? [] { try writer.section("REFS", shared.value) }
            try writer.finish()
        } catch {
            writer.cancel()
            throw error
        }
        return writer.bytes
    }

    fileprivate func writeFiles() throws(MachineError) {
        if let text = tree.pending?.settings { try MachineFileText.write(text, folder) }
        if let floppy { try SnapshotFloppy.write(floppy, SnapshotFloppy.path(id), in: folder) }
        try SnapshotTree.write(.init(settings: settings, screen: saved.info.screen), of: id, folder)
    }

    /// The next snapshot can stand on this one's file.
    private func remember() {
        guard let ledger, let mark = saved.info.mark, let file = KnownPages.file(SnapshotTree.memoryPath(id), in: folder, mark: mark) else { return }
        memory.keep(ledger.after(file))
    }

    /// The snapshot is whole, unless it has no memory.
    private func settle(_ bytes: UInt64?) throws(MachineError) {
        var tree = tree
        // Of one that is not taken: the machine goes on with the new images all the same.
        if bytes == nil, let text = tree.pending?.settings { try MachineFileText.write(text, folder) }
        tree.change(id) {
            $0.isComplete = bytes != nil
            $0.bytes = bytes ?? 0
        }
        tree.pending = nil
        try tree.write(folder)
    }
}

/// What can be written while memory is still being packed.
private final class EarlyFiles: Sendable {
    private let failure = Mutex<MachineError?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ writing: SnapshotWriting) {
        FileRecorder.thread("snapshot") { [self] in
            do throws(MachineError) {
                try writing.writeFiles()
            } catch {
                failure.withLock { $0 = error }
            }
            done.signal()
        }
    }

    @discardableResult
    func wait() -> MachineError? {
        done.wait()
        done.signal()
        return failure.withLock { $0 }
    }
}

extension StateWriter {
    func pages(_ numbers: [Int], _ bytes: [UInt8]) throws(MachineError) {
        for (index, number) in numbers.enumerated() {
            let page = Array(bytes[index * StateFormat.pageBytes..<(index + 1) * StateFormat.pageBytes])
            var failure: MachineError?
            page.withUnsafeBytes { raw in
                do throws(MachineError) { try self.page(number, raw) } catch { failure = error }
            }
            if let failure { throw failure }
        }
    }
}
