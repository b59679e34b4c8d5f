import DataFiles
import Foundation
import Hardware
import Primitives

// Snapshots of the machine while it runs.
extension RunLoop {
    /// Pages that are taken between two slices, beside those that the guest writes to.
    private static let pagesInTurn = 384

    func begin(_ job: SnapshotJob) {
        do throws(MachineError) {
            guard outcome == nil else { throw MachineError(.wrongPlace, "The machine is just ending.") }
            guard capture == nil else { throw MachineError(.wrongPlace, "Another snapshot is just being taken; try again.") }
            guard let folder = parts.savedState?.folder else { throw MachineError(.wrongPlace, "Only stored machines have snapshots.") }
            let lock = try MachineLock.take(.settings, of: folder, name: parts.name)
            switch job.work {
            case .take(let name, let description): try take(job, name, description, folder, lock)
            case .delete(let name): try delete(job, name, folder, lock)
            }
        } catch {
            job.end(.failure(error))
        }
        // The drives may have other images now, with the same contents.
        travel?.history.watchMedia()
    }

    /// Freezes the disks and what is in the chips, and begins with memory.
    private func take(_ job: SnapshotJob, _ name: String, _ description: String, _ folder: String, _ lock: MachineLock) throws(MachineError) {
        let paused = parts.hostTime()
        for bay in Bay.allCases {
            guard let layer = DisposableLayer.of(pc.media[bay]), !layer.written.isEmpty else { continue }
            throw MachineError(
                .wrongPlace, "What the guest has written to \(bay.label) is to be thrown away and in no snapshot; 'save-state' keeps it.")
        }
        var tree = try SnapshotTree.read(folder)
        try tree.checkName(name)
        let text = try MachineFileText.read(folder)
        var file = try MachineFileText.parse(text, folder)
        var settings = file.settings
        let disks = settings.run.disks, id = SnapshotTree.freshID()
        try switchDisks(&settings, id: id, folder: folder)
        let saved: SavedMachine
        do throws(MachineError) {
            try MachineFileText.change(&file, settings)
            saved = try savedMachine()
            tree.nodes.append(
                .init(
                    id: id, name: name, description: description, taken: Date().timeIntervalSince1970, parent: tree.current,
                    state: self.paused ? "paused" : "running", hasMemory: true, isComplete: false, disks: disks, bytes: 0))
            tree.current = id
            tree.pending = .init(work: "take", settings: file.text)
            try tree.write(folder)
        } catch {
            try open(disks, settings, folder)
            for (new, old) in zip(settings.run.disks, disks) where new != old { unlink(folder + "/" + new) }
            throw error
        }
        parts.savedState?.spend()
        parts.savedState?.disks = settings.run.disks
        machine.diskPaths = settings.run.disks.map { $0.hasPrefix("/") ? $0 : folder + "/" + $0 }
        let capture = LiveCapture()
        self.capture = capture
        pc.memory.beginCapture { page, bytes in capture.take(page, bytes) }
        let pause = Double(parts.hostTime() &- paused) / 1e6
        log(.info, "Snapshots", "The snapshot '\(name)' is being taken; the guest stood still for \(Int(pause)) ms.")
        let total = UInt64(pc.memory.captureLeft)
        let writing = SnapshotWriting(
            job: job, folder: folder, id: id, tree: tree, saved: saved, settings: text, pause: pause, pages: total, queue: capture.queue,
            ended: capture.ended, lock: lock, log: parts.log)
        Thread.detachNewThread { writing.run() }
    }

    /// Puts new images over the disks that the guest writes.
    /// - Throws: the old ones are in the drives then, or the run is over.
    private func switchDisks(_ settings: inout MachineSettings, id: String, folder: String) throws(MachineError) {
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
            try open(settings.run.disks, settings, folder)
        } catch {
            for (new, before) in zip(settings.run.disks, old) where new != before { unlink(folder + "/" + new) }
            settings.run.disks = old
            try open(old, settings, folder)
            throw error
        }
    }

    /// Opens the disks that the guest writes.
    /// - Throws: the run is over then: a guest without its disk would only break more.
    private func open(_ disks: [String], _ settings: MachineSettings, _ folder: String) throws(MachineError) {
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

    /// Merges disks while the guest stands still.
    private func delete(_ job: SnapshotJob, _ name: String, _ folder: String, _ lock: MachineLock) throws(MachineError) {
        let began = parts.hostTime()
        let settings = try MachineFileText.parse(MachineFileText.read(folder), folder).settings
        for (index, bay) in parts.diskBays.enumerated() where index < settings.run.disks.count {
            guard let medium = pc.media[bay], settings.run.access(ofDisk: index) == .writable else { continue }
            guard medium.flush() else { throw .failed("The medium in \(bay.label) could not be written; nothing has been deleted.") }
            pc.replace(bay, with: nil)
        }
        parts.hostClock?.pause()
        defer { if !paused { parts.hostClock?.resume() } }
        var failure: MachineError?
        do throws(MachineError) {
            var work = try SnapshotWork(folder, name: parts.name)
            let id = try work.tree.find(name, of: parts.name).id
            try work.delete(id) { done, total in
                job.update(done, total)
                return !job.isCalledOff
            }
        } catch {
            failure = error
        }
        let after = try MachineFileText.parse(MachineFileText.read(folder), folder).settings
        try open(after.run.disks, after, folder)
        parts.savedState?.spend()
        parts.savedState?.disks = after.run.disks
        machine.diskPaths = after.run.disks.map { $0.hasPrefix("/") ? $0 : folder + "/" + $0 }
        if let failure { throw failure }
        let pause = Double(parts.hostTime() &- began) / 1e6
        log(.info, "Snapshots", "The snapshot '\(name)' is deleted; the guest stood still for \(Int(pause)) ms.")
        job.end(.success(.init(pauseMilliseconds: pause, seconds: pause / 1e3)))
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

/// The rest of a snapshot, on a thread of its own.
private struct SnapshotWriting: Sendable {
    let job: SnapshotJob
    let folder: String
    let id: String
    var tree: SnapshotTree
    let saved: SavedMachine
    let settings: String
    let pause: Double
    /// That may come at most.
    let pages: UInt64
    let queue: PageQueue
    let ended: DispatchSemaphore
    let lock: MachineLock
    let log: MachineLog?

    func run() {
        defer { ended.signal() }
        do throws(MachineError) {
            let bytes = try write()
            try settle(bytes)
            let seconds = Double(HostClock.monotonic() &- job.begun) / 1e9
            log?.write(.info, "Snapshots", "The snapshot is taken: \(bytes) bytes in \(Int(seconds * 1e3)) ms.")
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
            let new = try StateWriter(folder + "/" + SnapshotTree.memoryPath(id))
            writer = new
            try new.begin(saved)
        } catch {
            failure = error
        }
        var done: UInt64 = 0
        // Whatever has failed, the machine must not wait for room in the queue.
        while let chunk = queue.pop() {
            if job.isCalledOff { failure = failure ?? .failed("Cancelled; the disks of the machine have one more image until it is off.") }
            guard failure == nil, let writer else { continue }
            do throws(MachineError) {
                try writer.pages(chunk.numbers, chunk.bytes)
            } catch {
                failure = error
            }
            done += UInt64(chunk.numbers.count)
            job.update(done, max(done, pages))
        }
        if let failure {
            writer?.cancel()
            try settle(nil)
            throw failure
        }
        guard let writer else { return 0 }
        try writer.finish()
        return writer.bytes
    }

    /// The machine's file names the new images; the snapshot is whole, unless it has no memory.
    private func settle(_ bytes: UInt64?) throws(MachineError) {
        var tree = tree
        if let text = tree.pending?.settings { try MachineFileText.write(text, folder) }
        if bytes != nil { try SnapshotTree.write(.init(settings: settings, screen: saved.info.screen), of: id, folder) }
        tree.change(id) {
            $0.isComplete = bytes != nil
            $0.bytes = bytes ?? 0
        }
        tree.pending = nil
        try tree.write(folder)
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
