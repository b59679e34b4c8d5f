import Foundation
import Hardware
import Primitives

/// The deletion of snapshots of a machine that runs, from its beginning to its end.
///
/// First the machine's disks get new images, and what it has written so far becomes a hidden snapshot: so everything that is merged is frozen.
/// A thread copies the data of the images that go into those below while the guest reads on: what changes there lies hidden behind what is
/// copied. Then the guest stands for a moment, the links are set, and in the end the little that it has written meanwhile is merged.
final class LiveDeletion {
    let job: SnapshotJob
    let folder: String
    var lock: MachineLock?
    /// As the log says it.
    let words: String
    /// Snapshots that are still to go.
    var waiting: [String]
    /// The hidden snapshot that is only there for this.
    var helper: String?
    var rounds = 0
    /// How long the guest has stood.
    var stood: Nanoseconds = 0
    let copied = DispatchSemaphore(value: 0)
    var isCopying = false

    init(_ job: SnapshotJob, _ folder: String, _ lock: MachineLock, _ words: String, _ waiting: [String]) {
        (self.job, self.folder, self.lock, self.words, self.waiting) = (job, folder, lock, words, waiting)
    }

    /// What the copying thread has come to. It has let go of it when it sends it.
    struct Copies: @unchecked Sendable {
        var id: String
        var result: Result<[Int: DiskMerge], MachineError>
    }
}

extension RunLoop {
    /// What may be merged while the guest stands, and how often it is tried to get below that.
    private static let smallBytes: UInt64 = 8 << 20, mostRounds = 4

    /// - Parameter name: nil: what can be undone is committed.
    func delete(_ job: SnapshotJob, _ name: String?, _ folder: String, _ lock: MachineLock) throws(MachineError) {
        var tree = try SnapshotTree.read(folder)
        guard tree.pending == nil else { throw MachineError(.wrongPlace, "The snapshots are just being worked on; try again.") }
        var waiting = tree.undo.map { [$0.id] } ?? []
        if let name { waiting.append(try tree.find(name, of: parts.name).id) }
        // What is hidden goes from now on, whatever happens.
        if tree.undo != nil {
            tree.undo = nil
            try tree.write(folder)
        }
        let words = name.map { "The snapshot '\($0)' is deleted" } ?? "The last restore or deletion is committed"
        deletion = LiveDeletion(job, folder, lock, words, waiting)
        goOnDeleting()
    }

    /// The next step; the last one tells how it went.
    private func goOnDeleting() {
        guard let deletion else { return }
        do throws(MachineError) {
            guard !deletion.job.isCalledOff else { throw DiskMerge.cancelled }
            while let id = deletion.waiting.first {
                if try step(deletion, id) { return }
                deletion.waiting.removeFirst()
            }
            if let helper = deletion.helper {
                deletion.rounds += 1
                if deletion.rounds < RunLoop.mostRounds, written() > RunLoop.smallBytes {
                    deletion.helper = nil
                    deletion.waiting = [helper]
                    return goOnDeleting()
                }
                try standing(deletion) { work throws(MachineError) in try work.delete(helper) { _, _ in true } }
            }
            endDeletion(nil)
        } catch {
            endDeletion(error)
        }
    }

    /// - Returns: whether it goes on in another thread.
    private func step(_ deletion: LiveDeletion, _ id: String) throws(MachineError) -> Bool {
        var tree = try SnapshotTree.read(deletion.folder)
        var above = tree.current, isBelow = false
        while let node = tree.node(above) {
            isBelow = isBelow || node.id == id
            above = node.parent
        }
        var work = SnapshotWork(reading: tree, deletion.folder, name: parts.name)
        if isBelow, deletion.helper == nil || tree.current == id {
            // Told before the disks are switched for nothing.
            _ = try work.merges(of: id)
            let began = parts.hostTime()
            deletion.helper = try freeze(deletion.folder)
            deletion.stood += parts.hostTime() &- began
            tree = try SnapshotTree.read(deletion.folder)
            work = SnapshotWork(reading: tree, deletion.folder, name: parts.name)
        }
        let merges = try work.merges(of: id)
        guard !merges.isEmpty else {
            try work.delete(id) { _, _ in true }
            return false
        }
        work.tree.pending = .init(work: "delete", merging: id)
        try work.tree.write(deletion.folder)
        deletion.isCopying = true
        let job = deletion.job, copied = deletion.copied, machine = machine
        FileRecorder.thread("merge") {
            var prepared: [Int: DiskMerge] = [:], failure: MachineError?
            for (index, merge) in merges.sorted(by: { $0.key < $1.key }) where failure == nil {
                do throws(MachineError) {
                    prepared[index] = try DiskMerge.prepare(merge.image, .intoParent, grandchildren: merge.grandchildren, locks: false) { done, total in
                        job.update(done, total)
                        return !job.isCalledOff
                    }
                } catch {
                    failure = error
                }
            }
            let copies = LiveDeletion.Copies(id: id, result: failure.map { .failure($0) } ?? .success(prepared))
            machine.send(.copied(copies))
            copied.signal()
        }
        return true
    }

    /// The copying thread is done: the links are set while the guest stands.
    func take(_ copies: LiveDeletion.Copies) {
        guard let deletion, deletion.isCopying else { return }
        deletion.copied.wait()
        deletion.isCopying = false
        do throws(MachineError) {
            switch copies.result {
            case .success(let prepared):
                try standing(deletion) { work throws(MachineError) in try work.conclude(copies.id, prepared) }
            case .failure(let error):
                try standing(deletion) { work throws(MachineError) in
                    // What other disks had copied already is rolled back.
                    _ = DiskMerge.recover(in: deletion.folder) + DiskMerge.recover(in: SnapshotTree.folder(deletion.folder))
                    work.tree.pending = nil
                    try work.tree.write(deletion.folder)
                }
                throw error
            }
            deletion.waiting.removeAll { $0 == copies.id }
            goOnDeleting()
        } catch {
            endDeletion(error)
        }
    }

    private func endDeletion(_ failure: MachineError?) {
        guard let deletion else { return }
        self.deletion = nil
        var failure = failure
        // The helper goes at the end of the run at the latest; better now.
        if failure != nil, let helper = deletion.helper, outcome == nil {
            do throws(MachineError) {
                self.deletion = deletion
                try standing(deletion) { work throws(MachineError) in try work.delete(helper) { _, _ in true } }
            } catch {
                log(.warn, "Snapshots", "The machine's disks have one more image until it is off: \(error.description)")
            }
            self.deletion = nil
        }
        if outcome != nil { failure = failure ?? DiskMerge.cancelled }
        let pause = Double(deletion.stood) / 1e6, seconds = Double(HostClock.monotonic() &- deletion.job.begun) / 1e9
        // Who hears of the end may go on with the next work.
        deletion.lock = nil
        if let failure {
            log(.warn, "Snapshots", "No snapshot was deleted: \(failure.description)")
            deletion.job.end(.failure(failure))
        } else {
            log(.info, "Snapshots", "\(deletion.words); the guest stood still for \(Int(pause)) ms.")
            deletion.job.end(.success(.init(pauseMilliseconds: pause, seconds: seconds)))
        }
    }

    /// Before the end of the run: what was begun is called off.
    func finishDeletion() {
        guard let deletion else { return }
        deletion.job.cancel()
        if deletion.isCopying {
            deletion.copied.wait()
            // Its journals are rolled back, or finished, when the machine starts again.
            deletion.isCopying = false
        }
        endDeletion(DiskMerge.cancelled)
    }

    /// New images over the disks; what is below is frozen, and a hidden snapshot.
    /// - Returns: its id.
    private func freeze(_ folder: String) throws(MachineError) -> String {
        var file = try MachineFileText.parse(MachineFileText.read(folder), folder)
        var settings = file.settings
        let disks = settings.run.disks, id = SnapshotTree.freshID()
        try switchDisks(&settings, id: id, folder: folder)
        var work = SnapshotWork(reading: try SnapshotTree.read(folder), folder, name: parts.name)
        do throws(MachineError) {
            try MachineFileText.change(&file, settings)
            work.tree.nodes.append(
                .init(
                    id: id, name: "helper", description: "", taken: Date().timeIntervalSince1970, parent: work.tree.current, state: "running",
                    hasMemory: false, isComplete: true, disks: disks, bytes: 0, hidden: true))
            work.tree.current = id
            try work.commit(.init(work: "take", settings: file.text))
        } catch {
            try reopen(disks, settings, folder)
            throw error
        }
        useDisks(settings, folder)
        return id
    }

    private func useDisks(_ settings: MachineSettings, _ folder: String) {
        parts.savedState?.spend()
        parts.savedState?.disks = SavedState.watched(settings.run)
        machine.diskPaths = settings.run.disks.map { $0.hasPrefix("/") ? $0 : folder + "/" + $0 }
    }

    /// Bytes that the guest has written to the topmost images.
    private func written() -> UInt64 {
        parts.diskBays.reduce(0) { sum, bay in
            var medium = pc.media[bay]
            if let guarded = medium as? GuardedMedium { medium = guarded.inner }
            guard let layer = medium as? any ImageLayer, layer.parent != nil else { return sum }
            return sum + ((try? DiskMerge.cost(layer, .failed(""))) ?? 0)
        }
    }

    /// Something that needs the images closed.
    private func standing(_ deletion: LiveDeletion, _ body: (inout SnapshotWork) throws(MachineError) -> Void) throws(MachineError) {
        let began = parts.hostTime(), folder = deletion.folder
        let settings = try MachineFileText.parse(MachineFileText.read(folder), folder).settings
        for (index, bay) in parts.diskBays.enumerated() where index < settings.run.disks.count {
            guard let medium = pc.media[bay], settings.run.access(ofDisk: index) == .writable else { continue }
            guard medium.flush() else { throw .failed("The medium in \(bay.label) could not be written; nothing has been deleted.") }
            pc.replace(bay, with: nil)
        }
        if !paused { parts.hostClock?.pause() }
        defer {
            if !paused { parts.hostClock?.resume() }
            deletion.stood += parts.hostTime() &- began
        }
        var failure: MachineError?
        do throws(MachineError) {
            var work = SnapshotWork(reading: try SnapshotTree.read(folder), folder, name: parts.name)
            try body(&work)
        } catch {
            failure = error
        }
        let after = try MachineFileText.parse(MachineFileText.read(folder), folder).settings
        try reopen(after.run.disks, after, folder)
        useDisks(after, folder)
        if let failure { throw failure }
    }
}
